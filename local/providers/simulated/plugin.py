"""A simulated cloud as a Pulumi plugin: checks, names, journals; what each type does is in its kind.

A create goes like this: inputs are refused or accepted as the API would; the record says ``creating``; the
kind makes the thing; the record says ``ready``. See ``local/providers/store.py`` for what happens when that is
cut short, and for the one deliberate difference from the real cloud: who was interrupted finds its own half-made
resource again.
"""

import json
import os
import secrets
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, ClassVar, Generic, TypeVar

import grpc

from llm_serving.errors import Problem
from local.providers.differences import Change, Difference
from local.providers.faults import FaultPlan
from local.providers.properties import UNKNOWN, Properties, keep_secret, reveal, secret_paths, without_nulls
from local.providers.provider import (
    Autoname,
    Checked,
    CloudError,
    Created,
    Plugin,
    Resource,
    State,
    preview_outputs,
    still_unknown,
)
from local.providers.schema import ResourceType, check
from local.providers.simulated.cloud import Cloud
from local.providers.simulated.kinds import Kind
from local.providers.store import AlreadyExistsError, Phase, Record
from local.state_folder import StateFolder

_DEFAULTS = "__defaults"
"""Which inputs were filled in by the plugin: the name under which Pulumi's own bridge keeps it."""

_ENGINE_SETTINGS = frozenset({"version", "pluginDownloadURL", "__internal"})

C = TypeVar("C", bound=Cloud[Any])


class CloudPlugin(Plugin, Generic[C]):
    """A simulated cloud. Subclasses set ``name``, ``version`` and ``environment``.

    Attributes:
        environment: setting -> variables of the environment that it is taken from where it is not given.
    """

    environment: ClassVar[Mapping[str, Sequence[str]]]
    cloud: C

    def __init__(self, state_folder: StateFolder | None = None, faults: FaultPlan | None = None) -> None:
        self.state_folder = state_folder or StateFolder.of()
        super().__init__(faults or FaultPlan.of(self.state_folder))
        self.cloud = self.new_cloud()
        self._in_state: set[str] = set()
        self._guard = threading.Lock()

    @abstractmethod
    def new_cloud(self) -> C:
        """The cloud in the plugin's state folder."""

    @abstractmethod
    def kind_of(self, token: str, schema: ResourceType) -> Kind[C, Any]:
        """The kind of a type that the SDK knows."""

    def is_kept(self, resource: Resource, inputs: Properties) -> bool:
        """Whether the cloud keeps a resource that Pulumi deletes.

        Raises:
            CloudError: its settings forbid that it is deleted.
        """
        return False

    # The provider itself

    def check_config(self, inputs: Properties) -> Checked:
        """Unknown settings are refused; compound ones arrive as JSON text, so their types are not checked."""
        known = self.cloud.sdk.provider().inputs
        settings = {key: value for key, value in inputs.items() if key not in _ENGINE_SETTINGS}
        problems, _ = check(known, dict.fromkeys(settings, UNKNOWN))
        return Checked(inputs, problems)

    def configure(self, inputs: Properties) -> None:
        """Take settings from the environment where they are not given, as the real provider does."""
        settings = {key: _from_text(value) for key, value in reveal(inputs).items()}
        for key, variables in self.environment.items():
            named = next((os.environ[name] for name in variables if os.environ.get(name)), None)
            if not settings.get(key) and named:
                settings[key] = named
        self.settings = inputs
        self.cloud.settings = settings

    # Resources

    def check(self, resource: Resource, inputs: Properties, olds: Properties | None, autoname: Autoname) -> Checked:
        """Types, values and rules; then the name, if none was given."""
        if olds:
            self._remember(resource.urn)
        kind = self._kind(resource.token)
        known_inputs = without_nulls({key: value for key, value in inputs.items() if key != _DEFAULTS})
        problems, warnings = check(kind.schema.inputs, known_inputs)
        clear = reveal(known_inputs)
        problems = [*problems, *kind.type.check(clear)]
        if not problems:  # rules across properties may rely on the types
            problems = kind.check(clear)
        problems = _without_secrets(problems, known_inputs)
        result = dict(known_inputs)
        if not problems:
            problem = self._name(kind, resource, result, olds, autoname)
            problems = [problem] if problem else []
        return Checked(result, problems, warnings)

    def diff(
        self,
        resource: Resource,
        id: str,
        old_inputs: Properties,
        outputs: Properties,
        inputs: Properties,
        ignored: Sequence[str] = (),
    ) -> Difference:
        """Inputs against inputs; a provider that moved to another project or place counts too."""
        self._remember(resource.urn)
        kind = self._kind(resource.token)
        old, new = reveal(old_inputs), reveal(inputs)
        difference = kind.type.compare(_clean(old, keep_defaults=True), _clean(new, keep_defaults=True))
        changes, replacing = dict(difference.changes), set(difference.replacing)
        changes.pop(_DEFAULTS, None)
        changes = {path: change for path, change in changes.items() if not path.startswith(_DEFAULTS)}
        replacing |= kind.replacing(old, new) & changes.keys()
        for key in self.cloud.places:
            was, is_now = reveal(outputs.get(key)), self.cloud.settings.get(key)
            moved = key not in new and key not in old and key in kind.schema.inputs
            if moved and was and is_now and was != is_now:
                changes[key] = Change.UPDATE
                replacing.add(key)
        return Difference(changes, frozenset(replacing & changes.keys()), difference.delete_before_replace)

    def create(self, resource: Resource, inputs: Properties, timeout: float, preview: bool) -> Created:
        """Make a resource, or take over what an interrupted create of the same URN left."""
        kind = self._kind(resource.token)
        if preview:
            return Created("", self._expected(kind, inputs))
        still_unknown(inputs)
        known = self.cloud.placed(kind.schema, inputs)
        id = self._identify(kind, resource, known, inputs)
        earlier = self._begin(kind, resource, id, known, inputs)
        if earlier and earlier.phase is Phase.READY and earlier.inputs == self.cloud.store.hide(dict(inputs)):
            self.cloud.store.finish(kind.type.token, id, resource.urn, inputs, earlier.outputs)
            return Created(id, self.cloud.store.show(earlier.outputs, inputs))
        try:
            self.cloud.require(kind.type, known)
            kind.refuse_create(id, known)
            make = kind.create if earlier is None else kind.resume
            own = dict(make(id, known, timeout))
        except BaseException:
            if earlier is None:
                self.cloud.store.remove(kind.type.token, id)
            raise
        drawn = str(own.pop("id", id))
        outputs = keep_secret(inputs, kind.result(drawn, known, earlier.outputs if earlier else {}, own))
        self.cloud.store.finish(kind.type.token, drawn, resource.urn, inputs, outputs)
        if drawn != id:
            self.cloud.store.remove(kind.type.token, id)
        return Created(drawn, outputs)

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """What the records say; secrets are those that Pulumi knows."""
        self._remember(resource.urn)
        kind = self._kind(resource.token)
        record = self.cloud.store.get(kind.type.token, id)
        if record is None or record.phase is Phase.CREATING or record.phase is Phase.ABANDONED:
            return None
        current = kind.refresh(id, self.cloud.store.show(record.outputs, outputs))
        if current is None:
            return None
        return State(id, self.cloud.store.show(record.inputs, inputs), current)

    def update(
        self,
        resource: Resource,
        id: str,
        old_inputs: Properties,
        outputs: Properties,
        inputs: Properties,
        timeout: float,
        preview: bool,
        ignored: Sequence[str] = (),
    ) -> Properties:
        """Change a resource in place."""
        self._remember(resource.urn)
        kind = self._kind(resource.token)
        if preview:
            removed = {key for key in old_inputs if key not in inputs}
            kept = {key: value for key, value in outputs.items() if key not in removed}
            return {**kept, **kind.type.expected(_clean(inputs), outputs)}
        still_unknown(inputs)
        record = self.cloud.store.get(kind.type.token, id)
        if record is None or record.phase is Phase.ABANDONED:
            raise self.cloud.gone(id)
        known = self.cloud.placed(kind.schema, inputs)
        self.cloud.require(kind.type, known)
        old = self.cloud.store.show(record.outputs, outputs)
        own = kind.update(id, reveal(old), known, timeout)
        result = keep_secret(inputs, kind.result(id, known, reveal(old), own))
        self.cloud.store.finish(kind.type.token, id, resource.urn, inputs, result)
        return result

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Delete a resource, unless it protects itself or something needs it."""
        kind = self._kind(resource.token)
        token = kind.type.token
        record = self.cloud.store.get(token, id)
        if self.is_kept(resource, inputs) or record is None:
            return
        current = reveal({**self.cloud.store.show(record.outputs, outputs), **_protection(outputs)})
        kind.refuse_delete(id, current)
        self.cloud.unused(kind.type, record)
        self.cloud.store.deleting(token, id)
        kind.delete(id, current, timeout)
        if kind.type.stays:
            self.cloud.store.change(replace(record, phase=Phase.ABANDONED))
        else:
            self.cloud.store.remove(token, id)

    # Parts

    def _kind(self, token: str) -> Kind[C, Any]:
        schema = self.cloud.schema(token)
        if schema is None:
            raise CloudError(f"{token}: {self.cloud.sdk.package} {self.version} has no such resource")
        return self.kind_of(token, schema)

    def _remember(self, urn: str) -> None:
        """Pulumi has this resource in its state: a create by the same URN is a replacement, not a retry."""
        with self._guard:
            self._in_state.add(urn)

    def _is_in_state(self, urn: str) -> bool:
        with self._guard:
            return urn in self._in_state

    def _name(
        self,
        kind: Kind[C, Any],
        resource: Resource,
        result: Properties,
        olds: Properties | None,
        autoname: Autoname,
    ) -> Problem | None:
        """Draw a name as Pulumi's bridge does: the resource's own, a hyphen, seven hexadecimal digits."""
        key = kind.type.name_property
        known = kind.schema.inputs.get(key)
        if known is None or known.required or key in result or "namePrefix" in result:
            return None
        if olds and key in olds and key in (olds.get(_DEFAULTS) or ()):
            result[key] = olds[key]
        else:
            interrupted = self._interrupted(kind, resource.urn, key)
            if interrupted:
                result[key] = interrupted
            elif autoname.disabled:
                return Problem(key, None, "required, because the stack's settings switch automatic names off")
            elif autoname.enforced or (autoname.proposed and len(autoname.proposed) <= kind.type.name_limit):
                result[key] = autoname.proposed
            else:
                result[key] = _random_name(resource.name, autoname.seed, kind.type.name_limit)
        result[_DEFAULTS] = [key]
        problems = kind.type.check({key: result[key]})
        return problems[0] if problems else None

    def _interrupted(self, kind: Kind[C, Any], urn: str, key: str) -> str | None:
        """The name that an interrupted create of this URN had drawn."""
        if self._is_in_state(urn):
            return None
        for record in self.cloud.store.made_by(kind.type.token, urn):
            if key in (record.inputs.get(_DEFAULTS) or ()) and record.phase is not Phase.ABANDONED:
                return str(record.inputs[key])
        return None

    def _identify(self, kind: Kind[C, Any], resource: Resource, known: Mapping[str, Any], inputs: Properties) -> str:
        if not kind.type.id:
            return self._unfinished(kind, resource, inputs) or f"creating-{secrets.token_hex(8)}"
        digest = sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:16]
        scope = {"digest": digest, **known}
        try:
            for key, template in kind.type.computed.items():
                if isinstance(template, str) and "{id}" not in template and f"{{{key}}}" in kind.type.id:
                    scope[key] = kind.type.fill(template, scope)
            return kind.type.identify(scope)
        except LookupError as error:
            raise CloudError(
                f"{kind.type.token}: {error.args[0]}: required field is not set", grpc.StatusCode.INVALID_ARGUMENT
            ) from None

    def _unfinished(self, kind: Kind[C, Any], resource: Resource, inputs: Properties) -> str | None:
        """The id, drawn by the cloud, of what an interrupted create of this URN left, if it can become what is wanted
        now."""
        if self._is_in_state(resource.urn):
            return None
        for record in self.cloud.store.made_by(kind.type.token, resource.urn):
            if record.phase is not Phase.ABANDONED and not self._replaces(kind, record, inputs):
                return record.id
        return None

    def _replaces(self, kind: Kind[C, Any], record: Record, inputs: Properties) -> bool:
        return kind.type.compare(_clean(record.inputs), _clean(self.cloud.store.hide(dict(inputs)))).replaces

    def _begin(
        self, kind: Kind[C, Any], resource: Resource, id: str, known: Mapping[str, Any], inputs: Properties
    ) -> Record | None:
        token = kind.type.token
        existing = self.cloud.store.get(token, id)
        adoptable = not self._is_in_state(resource.urn)
        if existing and existing.urn == resource.urn and adoptable and existing.phase is Phase.READY:
            adoptable = not self._replaces(kind, existing, inputs)
        urn = existing.urn if existing and kind.type.shared else resource.urn
        try:
            return self.cloud.store.begin(token, id, urn, inputs, adoptable=adoptable or kind.type.shared)
        except AlreadyExistsError as error:
            raise self.cloud.taken(kind.type, resource.urn, error.record) from None

    def _expected(self, kind: Kind[C, Any], inputs: Properties) -> Properties:
        """Outputs in a preview: what follows from the type alone is known, what the cloud says is not."""
        defaults = {key: value for key, value in kind.type.defaults.items() if key not in kind.schema.computed}
        settings = {
            key: self.cloud.settings[key]
            for key in self.cloud.places
            if key in kind.schema.inputs and self.cloud.settings.get(key)
        }
        known_inputs = kind.type.expected(_clean(inputs), {})
        return {**defaults, **settings, **preview_outputs(known_inputs, sorted(kind.schema.computed))}


def _clean(inputs: Mapping[str, Any], *, keep_defaults: bool = False) -> Properties:
    return {key: value for key, value in inputs.items() if keep_defaults or key != _DEFAULTS}


def _without_secrets(problems: Sequence[Problem], inputs: Properties) -> list[Problem]:
    """The problems, with values left out that lie in secrets."""
    hidden = tuple(secret_paths(inputs))
    return [
        replace(problem, value=None) if hidden and problem.path.startswith(hidden) else problem for problem in problems
    ]


def _protection(outputs: Mapping[str, Any]) -> Properties:
    """What guards against deletion is a setting of the provider's own: Pulumi's state has the last word on
    it.
    """
    return {key: outputs[key] for key in ("deletionProtection", "forceDestroy") if key in outputs}


def _random_name(name: str, seed: bytes, limit: int) -> str:
    tail = sha256(seed + name.encode()).hexdigest()[:7] if seed else os.urandom(4).hex()[:7]
    return f"{name.lower()[: limit - 8]}-{tail}"


def _from_text(value: Any) -> Any:
    """A setting that may be JSON text."""
    if isinstance(value, str) and value[:1] in ("{", "[", "t", "f", '"'):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value

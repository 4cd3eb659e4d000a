"""The operations of the kubernetes plugin."""

import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

import grpc
import yaml

from llm_serving.errors import Problem
from local.clouds.differences import Difference, compare
from local.clouds.faults import FaultPlan
from local.clouds.kubernetes import kubeconfig, objects, releases, settings, wait_for
from local.clouds.kubernetes.kinds import RELEASE, Kind
from local.clouds.kubernetes.sdk import sdk
from local.clouds.kubernetes.settings import Settings
from local.clouds.kubernetes.waiting import DEFAULT_SECONDS, NotReadyError, StillThereError, Waiter
from local.clouds.properties import UNKNOWN, Properties, Secret, contains_unknown, reveal
from local.clouds.provider import (
    Autoname,
    Checked,
    CloudError,
    Created,
    InitializationFailedError,
    Plugin,
    Resource,
    State,
)
from local.clouds.schema import Property, check
from local.cluster import rest
from local.cluster.errors import ClusterError

_META = "kubernetes:core/v1:Pod"
"""Any resource: metadata has the same type everywhere."""
_RETRY_SECONDS = 15.0
"""How long the API server may take to serve a new definition or to make a namespace's service account."""
_ASK_AGAIN_SECONDS = 5.0
_T = TypeVar("_T")


class KubernetesPlugin(Plugin):
    """pulumi-kubernetes on a real API server."""

    name = "kubernetes"
    version = version("pulumi-kubernetes")

    def __init__(self, faults: FaultPlan | None = None) -> None:
        super().__init__(faults)
        self._lock = threading.Lock()
        self._client: rest.Kubernetes | None = None
        self._unreachable = ""
        self._asked = float("-inf")
        self._warned: set[str] = set()
        self._configured = Settings()

    # Settings

    def check_config(self, inputs: Properties) -> Checked:
        """Check the provider's settings; a kubeconfig that can be read must be one."""
        wanted = sdk().provider().inputs
        known = {name: value for name, value in inputs.items() if name != "version"}
        found = [Problem(name, None, "unknown property") for name in known if name not in wanted]
        warnings: list[str] = []
        if str(reveal(inputs.get("enableServerSideApply", "true"))).lower() == "false":
            warnings.append("the local plugin always uses server-side apply")
        return Checked(inputs, [*found, *settings.problems(inputs)], warnings)

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Another cluster replaces the provider."""
        return settings.difference(old, new)

    def configure(self, inputs: Properties) -> None:
        """Take over the settings. The connection is made when it is first needed."""
        super().configure(inputs)
        self._configured = Settings.of(inputs)

    # Operations

    def check(self, resource: Resource, inputs: Properties, olds: Properties | None, autoname: Autoname) -> Checked:
        """Check against the SDK's types; fill in name and namespace."""
        if resource.token == RELEASE:
            space = self._default_namespace()
            return Checked(*releases.check(inputs, olds, resource.name, autoname.seed, space))
        kind = Kind.of(resource.token, inputs)
        found, warnings = self._type_problems(resource.token, kind, inputs)
        if kind.core and kind.kind.endswith("List"):
            found.append(Problem("kind", kind.kind, "a list is no object: declare its items"))
        if inputs.get("metadata") is UNKNOWN:
            return Checked(inputs, found, warnings)
        filled, naming = self._named(resource, kind, inputs, olds or {}, autoname)
        found += naming + _annotation_problems(filled)
        return Checked(objects.protect(filled, kind.kind), found, warnings)

    def diff(
        self, resource: Resource, id: str, old_inputs: Properties, outputs: Properties, inputs: Properties
    ) -> Difference:
        """Compare inputs. Whether something can change in place is asked of the API server where it
        answers.
        """
        if resource.token == RELEASE:
            return compare(old_inputs, inputs, replaces=lambda path: path in ("name", "namespace"))
        kind = Kind.of(resource.token, inputs)
        mutable = self._configured.secret_mutable if kind.kind == "Secret" else self._configured.config_map_mutable
        found = compare(_with_namespace(old_inputs, outputs), inputs, replaces=kind.replaces(mutable or kind.patch))
        if found.changes and not found.replaces:
            refused = self._immutable_paths(resource, kind, outputs, inputs)
            found = Difference(found.changes, frozenset(p for p in found.changes if _touches(p, refused)))
        if not found.replaces:
            return found
        # Two objects of one name cannot be side by side. A generated name is drawn anew for a replacement.
        generated = objects.annotations(inputs).get(objects.AUTONAMED) == "true"
        before = _identity(_with_namespace(old_inputs, outputs))
        same = not generated and not contains_unknown(_identity(inputs)) and _identity(inputs) == before
        return Difference(found.changes, found.replacing, delete_before_replace=same)

    def create(self, resource: Resource, inputs: Properties, timeout: float, preview: bool) -> Created:
        """Apply a new object, and wait for it."""
        if resource.token == RELEASE:
            return self._create_release(resource, inputs, timeout, preview)
        kind = Kind.of(resource.token, inputs)
        manager = objects.field_manager(resource.urn)
        if preview:
            dry = self._dry_run(resource, kind, inputs, manager, new=True)
            return Created("", objects.planned(dry, inputs, new=True))
        client = self._connected(resource)
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        self._refuse_foreign(client, resource, kind, body, manager)
        live = self._apply(client, resource, body, manager)
        return Created(objects.identity(live), self._ready(client, resource, live, body, manager, timeout))

    def update(
        self,
        resource: Resource,
        id: str,
        old_inputs: Properties,
        outputs: Properties,
        inputs: Properties,
        timeout: float,
        preview: bool,
    ) -> Properties:
        """Apply the object as it is to be, and wait for it."""
        if resource.token == RELEASE:
            return self._update_release(resource, outputs, inputs, timeout, preview)
        kind = Kind.of(resource.token, inputs)
        manager = reveal(outputs.get(objects.FIELD_MANAGER)) or objects.field_manager(resource.urn)
        if preview:
            dry = self._dry_run(resource, kind, inputs, manager, new=False)
            return objects.planned(dry, inputs, new=False)
        if self._configured.skip_update_unreachable and (why := self._why_unreachable()):
            self.engine.warning(f"{why}: {id} was not updated (skipUpdateUnreachable)", resource.urn)
            return outputs
        client = self._connected(resource)
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        live = self._apply(client, resource, body, manager)
        return self._ready(client, resource, live, body, manager, timeout)

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """The object as it is. One that is not ready is told as such, so that the next update waits again."""
        if why := self._why_unreachable():
            if self._configured.delete_unreachable:
                self.engine.warning(f"{why}: {id} is forgotten (deleteUnreachable)", resource.urn)
                return None
            if self._configured.skip_update_unreachable and outputs:
                self.engine.warning(f"{why}: {id} was not compared (skipUpdateUnreachable)", resource.urn)
                return State(id, inputs, outputs)
        client = self._connected(resource)
        if resource.token == RELEASE:
            return self._read_release(client, id, inputs, outputs)
        kind = Kind.of(resource.token, inputs or outputs)
        namespace, name = objects.split_identity(id)
        live = self._asking(resource, lambda: client.find(kind.api_version, kind.kind, name, namespace))
        if live is None:
            return None
        manager = reveal(outputs.get(objects.FIELD_MANAGER)) or objects.field_manager(resource.urn)
        found = State(objects.identity(live), objects.inputs_of(live, inputs), objects.state(live, manager))
        if inputs and not kind.patch:
            try:
                self._waiter(client, resource).once(live)
            except NotReadyError as error:
                raise InitializationFailedError(found.id, found.outputs, error.reasons, found.inputs) from None
        return found

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Delete the object and wait until it has gone."""
        if (why := self._why_unreachable()) and self._configured.delete_unreachable:
            self.engine.warning(f"{why}: {id} is forgotten (deleteUnreachable)", resource.urn)
            return
        client = self._connected(resource)
        waiter = self._waiter(client, resource)
        seconds = timeout or _asked_seconds(inputs) or DEFAULT_SECONDS
        try:
            if resource.token == RELEASE:
                releases.remove(client, waiter, inputs, releases.revision_of(outputs), seconds)
                return
            kind = Kind.of(resource.token, inputs or outputs)
            if kind.patch:
                self._let_go(client, kind, id, outputs)
                return
            namespace, name = objects.split_identity(id)
            live = client.find(kind.api_version, kind.kind, name, namespace)
            if live is None:
                return
            wanted = str(objects.annotations(inputs).get(objects.PROPAGATION) or "Foreground").capitalize()
            client.delete(live, propagation=wanted)
            if not objects.flagged(live, objects.SKIP_AWAIT):
                waiter.until_gone(live, seconds)
        except StillThereError as error:
            raise CloudError(str(error), grpc.StatusCode.DEADLINE_EXCEEDED) from None
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._told(resource, "delete", error) from None

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """``kubernetes:yaml:decode``, which the SDK's ConfigFile and ConfigGroup use."""
        if token != "kubernetes:yaml:decode":
            return super().invoke(token, arguments)
        space = arguments.get("defaultNamespace")
        try:
            found = [thing for thing in yaml.safe_load_all(arguments["text"]) if thing]
        except yaml.YAMLError as error:
            raise CloudError(f"the manifest is no YAML: {error}", grpc.StatusCode.INVALID_ARGUMENT) from None
        things = [item for thing in found for item in (thing["items"] if _is_list(thing) else [thing])]
        for thing in things:
            if space and not Kind(thing["apiVersion"], thing["kind"]).cluster_scoped:
                thing.setdefault("metadata", {}).setdefault("namespace", space)
        return {"result": things}

    # Checking

    @staticmethod
    def _type_problems(token: str, kind: Kind, inputs: Properties) -> tuple[list[Problem], list[str]]:
        known = sdk().resource(token)
        if known is not None:
            return check(known.inputs, inputs)
        if kind.core:
            return [Problem("kind", kind.kind, f"the SDK has no {kind.kind} in {kind.api_version}")], []
        pod = sdk().resource(_META)
        metadata: dict[str, Property] = {"metadata": pod.inputs["metadata"]} if pod else {}
        return check(metadata, {k: v for k, v in inputs.items() if k in metadata})

    def _named(
        self, resource: Resource, kind: Kind, inputs: Properties, olds: Properties, autoname: Autoname
    ) -> tuple[Properties, list[Problem]]:
        """Name and namespace as the real provider fills them in."""
        meta = objects.metadata(inputs)
        problems: list[Problem] = []
        if meta.get("name") is None and meta.get("generateName") is None:
            before = objects.metadata(olds)
            noted = objects.annotations(olds).get(objects.AUTONAMED) == "true"
            if kind.patch:
                problems.append(Problem("metadata.name", None, "required: a patch changes an object by its name"))
            elif noted and before.get("name"):
                meta["name"] = before["name"]
            elif autoname.disabled:
                problems.append(Problem("metadata.name", None, "required: generated names are turned off"))
            else:
                meta["name"] = objects.autonamed(resource.name, autoname.seed, autoname.proposed)
            if "name" in meta and isinstance(meta.get("annotations", {}), Mapping):
                meta["annotations"] = {**(meta.get("annotations") or {}), objects.AUTONAMED: "true"}
        namespaced = self._namespaced(kind)
        if namespaced and meta.get("namespace") is None:
            meta["namespace"] = self._default_namespace() or "default"
        if namespaced is False and kind.core:
            meta.pop("namespace", None)
        return {**inputs, "metadata": Secret(meta) if isinstance(inputs.get("metadata"), Secret) else meta}, problems

    def _namespaced(self, kind: Kind) -> bool | None:
        """It lives in a namespace; ``None`` for a custom resource whose definition is not there yet."""
        if kind.core:
            return not kind.cluster_scoped
        client = self._reached()
        if client is None:
            return None
        try:
            return client.resource(kind.api_version, kind.kind).namespaced
        except (rest.UnknownKindError, rest.ApiError, rest.UnreachableError):
            return None

    def _default_namespace(self) -> str:
        if self._configured.namespace:
            return self._configured.namespace
        try:
            return self._configured.access().namespace
        except kubeconfig.KubeconfigError:
            return ""

    # Applying

    def _refuse_foreign(
        self, client: rest.Kubernetes, resource: Resource, kind: Kind, body: dict[str, Any], manager: str
    ) -> None:
        """An object that is there already belongs to somebody, unless an interrupted update of ours made
        it.
        """
        meta = body["metadata"]
        if kind.patch or not meta.get("name"):
            return
        live = self._asking(
            resource, lambda: client.find(kind.api_version, kind.kind, meta["name"], meta.get("namespace"))
        )
        if live is None:
            return
        if live["metadata"].get("deletionTimestamp"):
            self._wait_for_predecessor(client, resource, live)
        elif not (objects.managed_by(live, manager) or self._configured.upsert):
            raise CloudError(
                f"resource {objects.identity(live)!r} was not created: {kind.kind} {meta['name']!r} already exists "
                "and was not made by this resource. Import it, give this one another name, or let it be "
                "taken over (upsertExistingObjects)",
                grpc.StatusCode.ALREADY_EXISTS,
            )

    def _wait_for_predecessor(self, client: rest.Kubernetes, resource: Resource, live: dict[str, Any]) -> None:
        try:
            self._waiter(client, resource).until_gone(live, DEFAULT_SECONDS)
        except StillThereError as error:
            raise CloudError(f"an earlier object of the same name has to go first: {error}") from None

    def _apply(self, client: rest.Kubernetes, resource: Resource, body: dict[str, Any], manager: str) -> dict[str, Any]:
        """Apply, and be patient with what comes a moment after its cause."""
        force = self._configured.patch_force or objects.flagged(body, objects.PATCH_FORCE)
        end = time.monotonic() + _RETRY_SECONDS
        while True:
            try:
                if not body["metadata"].get("name"):  # generateName cannot be applied
                    return client.create(body)
                return client.apply(body, force=force, manager=manager)
            except rest.UnknownKindError as error:
                problem: Exception = error
            except rest.ApiError as error:
                if not _passes(error):
                    raise self._told(resource, "apply", error) from None
                problem = error
            except rest.UnreachableError as error:
                raise self._told(resource, "apply", error) from None
            if time.monotonic() > end or self.cancelled.wait(0.3):
                raise self._told(resource, "apply", problem)

    def _ready(
        self,
        client: rest.Kubernetes,
        resource: Resource,
        live: dict[str, Any],
        body: dict[str, Any],
        manager: str,
        timeout: float,
    ) -> Properties:
        """The outputs once the object is ready."""
        if Kind.of(resource.token, body).patch:
            return objects.state(live, manager)
        seconds = timeout or _asked_seconds(body) or DEFAULT_SECONDS
        try:
            live = self._waiter(client, resource).until_ready(live, seconds)
        except NotReadyError as error:
            raise InitializationFailedError(
                objects.identity(error.live), objects.state(error.live, manager), error.reasons
            ) from None
        except rest.ApiError as error:
            raise InitializationFailedError(
                objects.identity(live), objects.state(live, manager), [f"while waiting: {error}"]
            ) from None
        if live["kind"] == "CustomResourceDefinition":
            client.forget()
        return objects.state(live, manager)

    def _dry_run(
        self, resource: Resource, kind: Kind, inputs: Properties, manager: str, *, new: bool
    ) -> dict[str, Any] | None:
        """What the API server would store; ``None`` where it cannot be asked yet.

        Raises:
            CloudError: it would refuse.
        """
        if contains_unknown(inputs):
            return None
        client = self._reached()
        if client is None:
            self._warn_once(f"{self._why_unreachable()}: objects are not compared with the cluster")
            return None
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        try:
            if new:
                self._refuse_foreign(client, resource, kind, body, manager)
            if not body["metadata"].get("name"):
                return client.create(body, dry_run=True)
            force = self._configured.patch_force or objects.flagged(body, objects.PATCH_FORCE)
            return client.apply(body, force=force, dry_run=True, manager=manager)
        except (rest.UnknownKindError, rest.UnreachableError):
            return None
        except rest.ApiError as error:
            if error.status == 404 or _passes(error):  # its namespace is about to be made
                return None
            raise self._told(resource, "preview", error) from None

    def _immutable_paths(self, resource: Resource, kind: Kind, outputs: Properties, inputs: Properties) -> list[str]:
        """The fields of which the API server says that they cannot change."""
        client = self._reached()
        if client is None or contains_unknown(inputs):
            return []
        manager = reveal(outputs.get(objects.FIELD_MANAGER)) or objects.field_manager(resource.urn)
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        try:
            client.apply(body, force=True, dry_run=True, manager=manager)
        except rest.ApiError as error:
            if error.status == 422:
                return [c["field"] for c in error.causes if _immutable(c.get("message", "")) and c.get("field")]
        except (rest.UnknownKindError, rest.UnreachableError):
            pass
        return []

    def _let_go(self, client: rest.Kubernetes, kind: Kind, id: str, outputs: Properties) -> None:
        """Give up the fields of a patch; the object stays with its owner."""
        namespace, name = objects.split_identity(id)
        if client.find(kind.api_version, kind.kind, name, namespace) is None:
            return
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        empty = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}
        client.apply(empty, manager=reveal(outputs.get(objects.FIELD_MANAGER)))

    # Releases

    def _create_release(self, resource: Resource, inputs: Properties, timeout: float, preview: bool) -> Created:
        if preview:
            return Created("", releases.outputs(inputs, UNKNOWN))
        outputs = self._install(resource, inputs, 1)
        return Created(f"{reveal(inputs['namespace'])}/{reveal(inputs['name'])}", outputs)

    def _update_release(
        self, resource: Resource, outputs: Properties, inputs: Properties, timeout: float, preview: bool
    ) -> Properties:
        if preview:
            return releases.outputs(inputs, UNKNOWN)
        return self._install(resource, inputs, releases.revision_of(outputs) + 1)

    def _install(self, resource: Resource, inputs: Properties, revision: int) -> Properties:
        client = self._connected(resource)
        try:
            outputs = releases.install(client, self._waiter(client, resource), inputs, revision)
        except NotReadyError as error:
            raise CloudError(str(error)) from None
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._told(resource, "install", error) from None
        self.engine.warning(releases.not_rendered(reveal(inputs)), resource.urn)
        return outputs

    @staticmethod
    def _read_release(client: rest.Kubernetes, id: str, inputs: Properties, outputs: Properties) -> State | None:
        namespace, name = objects.split_identity(id)
        labels = {"owner": "helm", "name": name}
        found = client.list("v1", "Secret", namespace, labels=labels)
        return State(id, inputs, outputs) if found else None

    # Connection

    def _connected(self, resource: Resource) -> rest.Kubernetes:
        client = self._reached()
        if client is None:
            raise CloudError(
                f"{self._why_unreachable()}. If the cluster is gone for good, set deleteUnreachable on the "
                "provider to let the state forget what was in it",
                grpc.StatusCode.UNAVAILABLE,
            )
        return client

    def _why_unreachable(self) -> str:
        """Why the cluster does not answer; empty if it does."""
        return "" if self._reached() else f"configured Kubernetes cluster is unreachable: {self._unreachable}"

    def _reached(self) -> rest.Kubernetes | None:
        with self._lock:
            if self._client is None and time.monotonic() - self._asked > _ASK_AGAIN_SECONDS:
                self._connect()
                self._asked = time.monotonic()
            return self._client

    def _connect(self) -> None:
        try:
            client = kubeconfig.connect(self._configured.access(), self._warn_once)
            client.request("GET", "/version", timeout=10.0)
        except (kubeconfig.KubeconfigError, ClusterError, rest.UnreachableError, rest.ApiError) as error:
            self._unreachable = str(error)
        else:
            self._client, self._unreachable = client, ""

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.engine.warning(message)

    def _waiter(self, client: rest.Kubernetes, resource: Resource) -> Waiter:
        return Waiter(client, self.cancelled, lambda line: self.engine.status(line, resource.urn))

    def _asking(self, resource: Resource, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._told(resource, "read", error) from None

    @staticmethod
    def _told(resource: Resource, what: str, error: Exception) -> CloudError:
        """An answer of the API server as an error for the user."""
        subject = f"{resource.token} {resource.name!r}"
        if isinstance(error, rest.UnreachableError):
            return CloudError(f"{subject}: {error}", grpc.StatusCode.UNAVAILABLE)
        if isinstance(error, rest.UnknownKindError):
            return CloudError(
                f"{subject}: {error}: its CustomResourceDefinition is not installed. Let this resource depend on "
                "what installs it",
                grpc.StatusCode.NOT_FOUND,
            )
        if isinstance(error, rest.ApiError) and error.status == 409 and error.causes:
            fields = "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in error.causes)
            return CloudError(
                f"{subject}: server-side apply conflict: {fields}. Let the other manager go, leave these fields "
                f'out, or take them over with the annotation {objects.PATCH_FORCE}: "true"',
                grpc.StatusCode.ABORTED,
            )
        return CloudError(f"{subject}: {what} refused by the API server: {error}")


def _annotation_problems(inputs: Properties) -> list[Problem]:
    given = objects.annotations(inputs)
    found: list[Problem] = []
    if isinstance(rule := given.get(objects.WAIT_FOR), str):
        try:
            wait_for.parse(rule)
        except ValueError as error:
            found.append(Problem(f'metadata.annotations["{objects.WAIT_FOR}"]', rule, str(error)))
    seconds = given.get(objects.TIMEOUT_SECONDS)
    if isinstance(seconds, str) and not seconds.isdigit():
        path = f'metadata.annotations["{objects.TIMEOUT_SECONDS}"]'
        found.append(Problem(path, seconds, "not a whole number of seconds"))
    return found


def _asked_seconds(inputs: Mapping[str, Any]) -> float:
    return float(objects.annotations(inputs).get(objects.TIMEOUT_SECONDS) or 0)


def _with_namespace(inputs: Properties, outputs: Properties) -> Properties:
    """Old inputs with the namespace that the object got, if none was written."""
    given = objects.metadata(outputs).get("namespace")
    meta = objects.metadata(inputs)
    return inputs if meta.get("namespace") or not given else {**inputs, "metadata": {**meta, "namespace": given}}


def _identity(inputs: Properties) -> tuple[Any, Any]:
    meta = reveal(objects.metadata(inputs))
    return meta.get("namespace"), meta.get("name")


def _touches(path: str, fields: list[str]) -> bool:
    return any(
        path == f or path.startswith((f"{f}.", f"{f}[")) or f.startswith((f"{path}.", f"{path}[")) for f in fields
    )


def _immutable(message: str) -> bool:
    return "immutable" in message or "may not change" in message or "are forbidden" in message


def _passes(error: rest.ApiError) -> bool:
    """A refusal that is over in a moment: the namespace's service account is still being made."""
    text = str(error)
    return error.status == 403 and "serviceaccount" in text and "not found" in text


def _is_list(thing: Mapping[str, Any]) -> bool:
    return str(thing.get("kind", "")).endswith("List") and isinstance(thing.get("items"), list)

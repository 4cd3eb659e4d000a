"""The operations of the kubernetes plugin."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import grpc

from llm_serving.errors import Problem
from local.cluster import rest
from local.cluster.errors import ClusterError
from local.providers.differences import Difference, compare
from local.providers.faults import FaultPlan
from local.providers.kubernetes import (
    checking,
    controllers,
    ignoring,
    kubeconfig,
    manifests,
    objects,
    refusals,
    releases,
    replacement,
    settings,
)
from local.providers.kubernetes.applying import Applier
from local.providers.kubernetes.kinds import RELEASE, Kind
from local.providers.kubernetes.readiness import DEFAULT_SECONDS, default_seconds
from local.providers.kubernetes.sdk import sdk
from local.providers.kubernetes.settings import Settings
from local.providers.kubernetes.waiter import NotReadyError, StillThereError, Waiter
from local.providers.properties import UNKNOWN, Properties, contains_unknown, reveal
from local.providers.provider import (
    Autoname,
    Checked,
    CloudError,
    Created,
    InitializationFailedError,
    Plugin,
    Resource,
    State,
)

_T = TypeVar("_T")


class KubernetesPlugin(Plugin):
    """pulumi-kubernetes on a real API server."""

    name = "kubernetes"
    version = version("pulumi-kubernetes")

    def __init__(self, faults: FaultPlan | None = None) -> None:
        super().__init__(faults)
        self._warned: set[str] = set()
        self._deleted_first: set[str] = set()
        """URNs of the replacements of this run whose predecessors have the same name and are deleted first."""
        self._configured = Settings()
        self._connection = kubeconfig.Connection(self._configured.access, self._warn_once)

    # Settings

    def check_config(self, inputs: Properties) -> Checked:
        """Check the provider's settings; a kubeconfig that can be read must be one."""
        settable = sdk().provider().inputs
        known = {name: value for name, value in inputs.items() if name != "version"}
        problems = [Problem(name, None, "unknown property") for name in known if name not in settable]
        warnings: list[str] = []
        if str(reveal(inputs.get("enableServerSideApply", "true"))).lower() == "false":
            warnings.append("the local plugin always uses server-side apply")
        return Checked(inputs, [*problems, *settings.check(inputs)], warnings)

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Another cluster replaces the provider."""
        return settings.difference(old, new)

    def configure(self, inputs: Properties) -> None:
        """Take over the settings. The connection is made when it is first needed."""
        super().configure(inputs)
        self._configured = Settings.of(inputs)
        self._connection = kubeconfig.Connection(self._configured.access, self._warn_once)

    # Operations

    def check(self, resource: Resource, inputs: Properties, olds: Properties | None, autoname: Autoname) -> Checked:
        """Check against the SDK's types; fill in name and namespace."""
        if resource.token == RELEASE:
            space = self._default_namespace()
            return Checked(*releases.check(inputs, olds, resource.name, autoname.seed, space))
        kind = Kind.of(resource.token, inputs)
        problems, warnings = checking.type_problems(resource.token, kind, inputs)
        if kind.core and kind.kind.endswith("List"):
            problems.append(Problem("kind", kind.kind, "a list is no object: declare its items"))
        if inputs.get("metadata") is UNKNOWN:
            return Checked(inputs, problems, warnings)
        filled, naming = checking.named(resource.name, kind, inputs, olds or {}, autoname)
        problems += naming + checking.annotation_problems(filled)
        filled = checking.placed(filled, self._namespaced(kind), kind.core, self._default_namespace)
        return Checked(objects.protect(filled, kind.kind), problems, warnings)

    def diff(
        self,
        resource: Resource,
        id: str,
        old_inputs: Properties,
        outputs: Properties,
        inputs: Properties,
        ignored: Sequence[str] = (),
    ) -> Difference:
        """Compare inputs. Whether something can change in place is asked of the API server where it
        answers.
        """
        if resource.token == RELEASE:
            difference = compare(old_inputs, inputs, replaces=lambda path: path in ("name", "namespace"))
            return ignoring.without(difference, ignored)
        kind = Kind.of(resource.token, inputs)
        before = _with_namespace(old_inputs, outputs)
        difference = compare(before, inputs, replaces=kind.replaces(kind.patch or self._mutable(kind, inputs)))
        difference = ignoring.without(difference, ignored)
        if difference.changes and not difference.replaces:
            difference = replacement.with_refused_fields(
                difference, self._immutable_fields(resource, kind, outputs, inputs)
            )
        if objects.flagged(inputs, objects.REPLACE_UNREADY):
            difference = self._replace_unready(resource, kind, id, difference)
        difference = replacement.with_order(difference, before, inputs)
        if difference.delete_before_replace:
            self._deleted_first.add(resource.urn)
        return difference

    def create(self, resource: Resource, inputs: Properties, timeout: float, preview: bool) -> Created:
        """Apply a new object, and wait for it."""
        if resource.token == RELEASE:
            return self._create_release(resource, inputs, timeout, preview)
        kind = Kind.of(resource.token, inputs)
        if preview:
            replaces = resource.urn in self._deleted_first
            stored = self._dry_run(
                resource,
                kind,
                inputs,
                {},
                lambda applier, body: applier.preview_create(kind, body, predecessor_is_deleted=replaces),
            )
            return Created("", objects.planned(stored, inputs, new=True))
        applier = self._applier(self._connected(resource), resource, inputs, {})
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        live = applier.create(kind, body)
        return Created(objects.identity(live), self._ready(applier, kind, live, body, timeout))

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
        """Apply the object as it is to be, and wait for it."""
        if resource.token == RELEASE:
            return self._update_release(resource, outputs, inputs, timeout, preview)
        kind = Kind.of(resource.token, inputs)
        if preview:
            stored = self._dry_run(
                resource, kind, inputs, outputs, lambda applier, body: applier.preview_update(kind, body, ignored)
            )
            return objects.planned(stored, inputs, new=False)
        if self._configured.skip_update_unreachable and (why := self._connection.why_not()):
            self.engine.warning(f"{why}: {id} was not updated (skipUpdateUnreachable)", resource.urn)
            return outputs
        applier = self._applier(self._connected(resource), resource, inputs, outputs)
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        return self._ready(applier, kind, applier.update(kind, body, ignored), body, timeout)

    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """The object as it is. One that is not ready is told as such, so that the next update waits again."""
        if why := self._connection.why_not():
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
        live = self._reading(resource, lambda: client.find(kind.api_version, kind.kind, name, namespace))
        if live is None:
            return None
        manager = objects.manager_of(resource.urn, inputs, outputs)
        state = State(objects.identity(live), objects.inputs_of(live, inputs), objects.state(live, manager))
        if inputs and not kind.patch:
            try:
                self._waiter(client, resource).once(live)
            except NotReadyError as error:
                raise InitializationFailedError(state.id, state.outputs, error.reasons, state.inputs) from None
        return state

    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Delete the object and wait until it has gone."""
        if (why := self._connection.why_not()) and self._configured.delete_unreachable:
            self.engine.warning(f"{why}: {id} is forgotten (deleteUnreachable)", resource.urn)
            return
        client = self._connected(resource)
        waiter = self._waiter(client, resource)
        seconds = timeout or _timeout_annotation(inputs) or DEFAULT_SECONDS
        try:
            if resource.token == RELEASE:
                controllers.end(self._configured.access().host, reveal(inputs))
                releases.remove(client, waiter, inputs, releases.revision_of(outputs), seconds)
                return
            kind = Kind.of(resource.token, inputs or outputs)
            if kind.patch:
                self._applier(client, resource, inputs, outputs).let_go(kind, id)
                return
            namespace, name = objects.split_identity(id)
            live = client.find(kind.api_version, kind.kind, name, namespace)
            if live is None:
                return
            client.delete(live, propagation=objects.propagation(inputs))
            if not (kind.goes_unwatched and objects.flagged(inputs, objects.SKIP_AWAIT)):
                waiter.until_gone(live, seconds)
        except StillThereError as error:
            raise CloudError(str(error), grpc.StatusCode.DEADLINE_EXCEEDED) from None
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._as_cloud_error(resource, "delete", error) from None

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """``kubernetes:yaml:decode``, which the SDK's ConfigFile and ConfigGroup use."""
        if token != "kubernetes:yaml:decode":
            return super().invoke(token, arguments)
        return {"result": manifests.decode(arguments["text"], arguments.get("defaultNamespace"))}

    # Checking

    def _namespaced(self, kind: Kind) -> bool | None:
        """It lives in a namespace; ``None`` for a custom resource whose definition is not there yet."""
        if kind.core:
            return not kind.cluster_scoped
        client = self._connection.client()
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

    def _applier(self, client: rest.Kubernetes, resource: Resource, inputs: Properties, outputs: Properties) -> Applier:
        return Applier(
            self._waiter(client, resource),
            _subject(resource),
            objects.manager_of(resource.urn, inputs, outputs),
            force=self._configured.patch_force or objects.flagged(inputs, objects.PATCH_FORCE),
            upsert=self._configured.upsert,
            tell=lambda line: self.engine.info(line, resource.urn),
        )

    def _ready(
        self, applier: Applier, kind: Kind, live: dict[str, Any], body: dict[str, Any], timeout: float
    ) -> Properties:
        """The outputs once the object is ready."""
        manager, waiter = applier.manager, applier.waiter
        if kind.patch:
            return objects.state(live, manager)
        seconds = timeout or _timeout_annotation(body) or default_seconds(live["kind"])
        try:
            live = waiter.until_ready(live, seconds)
        except NotReadyError as error:
            raise InitializationFailedError(
                objects.identity(error.live), objects.state(error.live, manager), error.reasons
            ) from None
        except rest.ApiError as error:
            raise InitializationFailedError(
                objects.identity(live), objects.state(live, manager), [f"while waiting: {error}"]
            ) from None
        if live["kind"] == "CustomResourceDefinition":
            waiter.client.forget()
        return objects.state(live, manager)

    def _dry_run(
        self,
        resource: Resource,
        kind: Kind,
        inputs: Properties,
        outputs: Properties,
        preview: Callable[[Applier, dict[str, Any]], dict[str, Any] | None],
    ) -> dict[str, Any] | None:
        """What the API server would store; ``None`` where it cannot be asked yet. A cluster that does not answer fails
        no preview, as with the provider (provider/pkg/provider/provider.go, Create and Update): it may be one that the
        same update makes or repairs.

        Raises:
            CloudError: it would refuse.
        """
        if contains_unknown(inputs):
            return None
        client = self._connection.client()
        if client is None:
            self._warn_once(f"{self._connection.why_not()}: objects are not compared with the cluster")
            return None
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        try:
            return preview(self._applier(client, resource, inputs, outputs), body)
        except rest.UnreachableError as error:
            self._warn_once(
                f"configured Kubernetes cluster is unreachable: {error}: objects are not compared with the cluster"
            )
            return None

    def _mutable(self, kind: Kind, inputs: Properties) -> bool:
        """The content of a ConfigMap or Secret may change in place: the settings say so, and it is not sealed."""
        allowed = self._configured.secret_mutable if kind.kind == "Secret" else self._configured.config_map_mutable
        return allowed and reveal(inputs.get("immutable")) is not True

    def _immutable_fields(self, resource: Resource, kind: Kind, outputs: Properties, inputs: Properties) -> list[str]:
        """The fields of which the API server says that they cannot change."""
        client = self._connection.client()
        if client is None or contains_unknown(inputs):
            return []
        body = objects.manifest(inputs, kind.api_version, kind.kind)
        return self._applier(client, resource, inputs, outputs).immutable_fields(body)

    def _replace_unready(self, resource: Resource, kind: Kind, id: str, difference: Difference) -> Difference:
        """Replace a Job that is not complete, where it asks for that."""
        if not (kind.core and kind.kind == "Job"):
            self.engine.warning(
                f"{objects.REPLACE_UNREADY} has no effect on a {kind.kind}: only on a Job", resource.urn
            )
            return difference
        client = self._connection.client()
        if client is None:
            return difference
        namespace, name = objects.split_identity(id)
        try:
            return replacement.with_unready_job(difference, client.find(kind.api_version, kind.kind, name, namespace))
        except (rest.ApiError, rest.UnreachableError):
            return difference

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
            raise self._as_cloud_error(resource, "install", error) from None
        try:
            runs = controllers.run(self._configured.access().host, reveal(inputs))
        except ClusterError as error:
            raise CloudError(f"{_subject(resource)}: {error}") from None
        self.engine.warning(releases.not_rendered(reveal(inputs), runs), resource.urn)
        return outputs

    @staticmethod
    def _read_release(client: rest.Kubernetes, id: str, inputs: Properties, outputs: Properties) -> State | None:
        namespace, name = objects.split_identity(id)
        labels = {"owner": "helm", "name": name}
        records = client.list("v1", "Secret", namespace, labels=labels)
        return State(id, inputs, outputs) if records else None

    # Connection

    def _connected(self, resource: Resource) -> rest.Kubernetes:
        client = self._connection.client()
        if client is None:
            raise CloudError(
                f"{_subject(resource)}: {self._connection.why_not()}. If the cluster is gone for good, "
                "set deleteUnreachable on the provider to let the state forget what was in it",
                grpc.StatusCode.UNAVAILABLE,
            )
        return client

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.engine.warning(message)

    def _waiter(self, client: rest.Kubernetes, resource: Resource) -> Waiter:
        return Waiter(client, self.cancelled, lambda line: self.engine.status(line, resource.urn))

    def _reading(self, resource: Resource, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._as_cloud_error(resource, "read", error) from None

    @staticmethod
    def _as_cloud_error(resource: Resource, operation: str, error: Exception) -> CloudError:
        return refusals.as_cloud_error(_subject(resource), operation, error)


def _subject(resource: Resource) -> str:
    """The resource, as the user knows it."""
    return f"{resource.token} {resource.name!r}"


def _timeout_annotation(inputs: Mapping[str, Any]) -> float:
    return float(objects.annotations(inputs).get(objects.TIMEOUT_SECONDS) or 0)


def _with_namespace(inputs: Properties, outputs: Properties) -> Properties:
    """Old inputs with the namespace that the object got, if none was written."""
    actual = objects.metadata(outputs).get("namespace")
    meta = objects.metadata(inputs)
    return inputs if meta.get("namespace") or not actual else {**inputs, "metadata": {**meta, "namespace": actual}}

"""A monitor that writes down everything that a program asks the Pulumi engine for.

``MockMonitor`` of the SDK hands a test only type, name and inputs of a resource; options (parent, protect,
ignoreChanges, timeouts, dependencies ...) stand in the request alone, and it accepts the same URN twice. This one keeps
the whole request, builds URNs like the engine does and refuses a URN that is already taken. Nothing is provisioned:
outputs of a resource are its inputs and what :data:`OUTPUTS` computes for its type.

    recording = record(lambda: GcpNetwork("network", {...}))
    router = recording.one("gcp:compute/router:Router")
    assert router.parent == recording.one("llm-serving:index:GcpNetwork").urn
"""

import asyncio
import base64
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime import resource as resource_runtime
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.stack import run_pulumi_func

PROJECT_NUMBER = "123456789012"
CA_CERTIFICATE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n").decode()

# The SDK sends the stack of the program with each resource. Nothing here reads it, and making it is a tenth of the time
# of the tests.
resource_runtime._get_stack_trace = source_pb2.StackTrace

SIGNATURE = rpc._special_sig_key
SECRET = rpc._special_secret_sig
STACK = "pulumi:pulumi:Stack"


class Unknown:
    """Stands where a value is not known before the deployment."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Recorded:
    """One ``RegisterResource`` request, in plain data.

    Attributes:
        type: type token.
        name: logical name.
        urn: as the engine would make it.
        custom: managed by a provider (components are not).
        inputs: in the spelling of the wire; secrets unwrapped, values that are not known are :data:`UNKNOWN`.
        secret_paths: property paths of the inputs that arrived as secrets.
        parent: URN; an empty string for the stack itself.
        dependencies: URNs of everything it depends on, by ``depends_on`` and by its inputs.
        property_dependencies: the same by property.
        provider: ``<urn>::<id>`` of an explicit provider, or an empty string.
        providers: explicit providers by package.
        custom_timeouts: ``create``, ``update``, ``delete`` where given.
        request: the request itself, for what is not above.
        outputs: what the program was told that the resource looks like.
    """

    type: str
    name: str
    urn: str
    custom: bool
    inputs: dict[str, Any]
    secret_paths: frozenset[str]
    parent: str
    dependencies: tuple[str, ...]
    property_dependencies: dict[str, tuple[str, ...]]
    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    additional_secret_outputs: tuple[str, ...]
    aliases: tuple[Any, ...]
    custom_timeouts: dict[str, str]
    deleted_with: str
    import_id: str
    provider: str
    providers: dict[str, str]
    request: Any = field(repr=False)
    outputs: dict[str, Any] = field(repr=False)

    def __getitem__(self, path: str) -> Any:
        """The input at ``path``, for example ``nodeConfig.guestAccelerators[0].count``.

        Raises:
            KeyError: nothing is there.
        """
        value: Any = self.inputs
        for step in path.replace("[", ".").replace("]", "").split("."):
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (KeyError, IndexError, TypeError, ValueError):
                raise KeyError(f"{path} of {self.urn}: nothing at {step!r} in {value!r}") from None
        return value

    def get(self, path: str, default: Any = None) -> Any:
        """The input at ``path``, or ``default`` where nothing is."""
        try:
            return self[path]
        except KeyError:
            return default


@dataclass
class Recording:
    """What a program asked for.

    Attributes:
        result: what the program returned.
        resources: every resource but the stack, in the order of registration.
        outputs: what ``register_outputs`` was given, by URN; secrets unwrapped.
        secret_outputs: property paths of the registered outputs that were secret, by URN.
        invokes: tokens and arguments of the functions that were called.
        warnings: what the program warned of (``pulumi.log.warn``).
    """

    result: Any = None
    resources: list[Recorded] = field(default_factory=list[Recorded])
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    secret_outputs: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    invokes: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    warnings: list[str] = field(default_factory=list[str])

    def __iter__(self) -> Iterator[Recorded]:
        return iter(self.resources)

    def all(self, type: str | None = None, name: str | None = None) -> list[Recorded]:
        """Every resource of a type token, or of one that ends like ``type`` (``compute/router:Router`` or
        ``Router``), with that logical name where one is given."""
        return [
            resource
            for resource in self.resources
            if (type is None or resource.type == type or resource.type.endswith((f"/{type}", f":{type}")))
            and (name is None or resource.name == name)
        ]

    def one(self, type: str | None = None, name: str | None = None) -> Recorded:
        """The only resource of that type and name.

        Raises:
            AssertionError: there is none, or there are several.
        """
        matching = self.all(type, name)
        candidates = ", ".join(f"{r.type} {r.name}" for r in (matching or self.resources))
        assert len(matching) == 1, f"{len(matching)} resources are {type} {name or ''}; there are: {candidates}"
        return matching[0]

    def by_urn(self, urn: str) -> Recorded:
        """The resource of a URN."""
        return next(resource for resource in self.resources if resource.urn == urn)

    def children(self, of: "Recorded | pulumi.Resource | str | None" = None) -> list[Recorded]:
        """The direct children of a resource (of what the program returned, if none is named)."""
        parent = self.urn_of(self.result if of is None else of)
        return [resource for resource in self.resources if resource.parent == parent]

    def descendants(self, of: "Recorded | pulumi.Resource | str | None" = None) -> list[Recorded]:
        """Children, their children, and so on."""
        resources: list[Recorded] = []
        for resource in self.children(of):
            resources += [resource, *self.descendants(resource)]
        return resources

    def urn_of(self, resource: "Recorded | pulumi.Resource | str") -> str:
        """The URN of a recorded resource, or of a live one."""
        if isinstance(resource, str):
            return resource
        if isinstance(resource, Recorded):
            return resource.urn
        return next(
            r.urn for r in self.resources if r.name == resource._name and r.type == resource.pulumi_resource_type
        )

    def depends_on(self, resource: Recorded, on: Recorded) -> bool:
        """Whether ``resource`` waits for ``on``, directly or by others."""
        seen: set[str] = set()
        left = list(resource.dependencies)
        while left:
            urn = left.pop()
            if urn == on.urn:
                return True
            if urn in seen:
                continue
            seen.add(urn)
            left += [d for r in self.resources if r.urn == urn for d in r.dependencies]
        return False

    def output(self, name: str, of: "Recorded | pulumi.Resource | str | None" = None) -> Any:
        """One registered output of a component (of what the program returned, if none is named), in plain data.
        ``name`` is spelt as on the wire."""
        outputs = self.outputs[self.urn_of(self.result if of is None else of)]
        assert name in outputs, f"no output {name}; there are: {', '.join(outputs)}"
        return outputs[name]

    @property
    def secret_paths(self) -> frozenset[str]:
        """``<type>.<name>: <path>`` of every secret input."""
        return frozenset(f"{r.type} {r.name}: {p}" for r in self.resources for p in r.secret_paths)


def record(
    program: Callable[[], Any],
    *,
    project: str = "llm-serving",
    stack: str = "test",
    preview: bool = False,
    outputs: Mapping[str, Callable[[str, dict[str, Any]], dict[str, Any]]] | None = None,
    functions: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] | None = None,
    existing: Mapping[tuple[str, str], dict[str, Any]] | None = None,
) -> Recording:
    """Run ``program`` against a recording monitor, wait for everything that it started, and say what it asked for.

    Args:
        program: makes resources; what it returns is :attr:`Recording.result`.
        project: name of the Pulumi project.
        stack: name of the stack.
        preview: outputs that :data:`OUTPUTS` computes, and ids, stay unknown.
        outputs: more functions like those in :data:`OUTPUTS`; they come first.
        functions: more functions like those in :data:`FUNCTIONS`; they come first.
        existing: more resources like those in :data:`EXISTING`; they come first.

    Raises:
        Exception: what the program, or a resource that it made, raised.
    """
    recording = Recording()
    monitor = RecordingMonitor(
        recording,
        preview,
        {**OUTPUTS, **(outputs or {})},
        {**FUNCTIONS, **(functions or {})},
        {**EXISTING, **(existing or {})},
    )
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        mocks.set_mocks(
            monitor.mocks,
            project=project,
            stack=stack,
            preview=preview,
            logger=_engine_log(recording),
            monitor=monitor,
        )

        async def run() -> None:
            recording.result = program()

        loop.run_until_complete(run_pulumi_func(run))
    finally:
        # A program that failed leaves work behind, which the SDK keeps in globals: the next program would trip over it.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        # What was raised has arrived. Futures of the SDK that hold it too would be logged when they are collected, in
        # the middle of any later test; printing a traceback parses source, and where the collection interrupts another
        # ast.parse, CPython before 3.11.8 fails with a SystemError (github.com/python/cpython/issues/106905).
        loop.set_exception_handler(lambda _loop, _context: None)
        settings._get_rpc_manager().clear()
        settings.SETTINGS.outputs.clear()
        loop.close()
        asyncio.set_event_loop(None)
    return recording


class _WarningsHandler(logging.Handler):
    """Writes down what the program warned of."""

    def __init__(self, warnings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self._warnings.append(record.getMessage())


def _engine_log(recording: Recording) -> logging.Logger:
    """The engine's log: warnings are written down, and all of it appears where logs of the tests do."""
    logger = logging.Logger("pulumi-engine")
    logger.parent = logging.getLogger()
    logger.addHandler(_WarningsHandler(recording.warnings))
    return logger


class RecordingMonitor(mocks.MockMonitor):
    """Answers like the engine of an empty stack would, and keeps each request."""

    def __init__(
        self,
        recording: Recording,
        preview: bool,
        outputs: Mapping[str, Callable[[str, dict[str, Any]], dict[str, Any]]],
        functions: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]],
        existing: Mapping[tuple[str, str], dict[str, Any]],
    ) -> None:
        super().__init__(_NoMocks())
        self._recording = recording
        self._preview = preview
        self._outputs = outputs
        self._functions = functions
        self._existing = existing
        self._lock = threading.Lock()
        self._urns: set[str] = set()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """``urn:pulumi:<stack>::<project>::<types from the outermost parent on>::<name>``; the stack's own type is
        left out, as the engine does."""
        above = parent.split("::")[2] if parent else ""
        qualified = type_ if above in ("", STACK) else f"{above}${type_}"
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{qualified}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 the protocol's name
        """Write the request down and answer with inputs and computed outputs."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        secrets: set[str] = set()
        inputs: dict[str, Any] = plain(request.object, secrets)
        computed: dict[str, Any] = {}
        if request.custom and not self._preview:
            compute = self._outputs.get(request.type)
            computed = _physical_name(request.type, request.name, inputs)
            computed |= compute(request.name, {**inputs, **computed}) if compute else {}
        recorded = _record_resource(request, urn, inputs, secrets, {**inputs, **computed})
        with self._lock:
            assert urn not in self._urns, f"two resources have the URN {urn}"
            self._urns.add(urn)
            self._recording.resources.append(recorded)
        answer = struct_pb2.Struct()
        answer.CopyFrom(request.object)
        answer.update({key: value for key, value in computed.items() if key != "id"})
        known_id = "" if self._preview or not request.custom else computed.get("id", request.name)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=known_id, object=answer)

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 the protocol's name
        """Answer with what :data:`EXISTING` holds. What is only read is not among the resources.

        Raises:
            AssertionError: nothing with that id is there.
        """
        urn = self.make_urn(request.parent, request.type, request.name)
        assert (request.type, request.id) in self._existing, f"no {request.type} {request.id}"
        answer = struct_pb2.Struct()
        answer.update(self._existing[request.type, request.id])
        return resource_pb2.ReadResourceResponse(urn=urn, properties=answer)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 the protocol's name
        """Write the outputs of a component down."""
        secrets: set[str] = set()
        outputs: dict[str, Any] = plain(request.outputs, secrets)
        with self._lock:
            assert request.urn not in self._recording.outputs, f"outputs of {request.urn} are registered twice"
            self._recording.outputs[request.urn] = outputs
            self._recording.secret_outputs[request.urn] = frozenset(secrets)
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802 the protocol's name
        """Answer with what :data:`FUNCTIONS` says.

        Raises:
            AssertionError: nothing is said about that function.
        """
        arguments: dict[str, Any] = plain(request.args, set())
        with self._lock:
            self._recording.invokes.append((request.tok, arguments))
        assert request.tok in self._functions, f"no answer for the function {request.tok}"
        answer = struct_pb2.Struct()
        answer.update(self._functions[request.tok](arguments))
        return resource_pb2.ResourceInvokeResponse(**{"return": answer})


class _NoMocks(mocks.Mocks):
    """The recording monitor answers by itself."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"unexpected call of {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise AssertionError(f"unexpected read of {args.typ} {args.name}")


def plain(value: Any, secrets: set[str], path: str = "") -> Any:
    """A protobuf value as Python data; paths of secrets are added to ``secrets``. Whole numbers become integers."""
    if isinstance(value, struct_pb2.Value):
        kind = value.WhichOneof("kind")
        return None if kind in (None, "null_value") else plain(getattr(value, kind), secrets, path)
    if isinstance(value, struct_pb2.Struct):
        if value.fields.get(SIGNATURE) == struct_pb2.Value(string_value=SECRET):
            secrets.add(path)
            return plain(value.fields["value"], secrets, path)
        return {key: plain(item, secrets, f"{path}.{key}" if path else key) for key, item in value.fields.items()}
    if isinstance(value, struct_pb2.ListValue):
        return [plain(item, secrets, f"{path}[{index}]") for index, item in enumerate(value.values)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if isinstance(value, str) and value == rpc.UNKNOWN else value


def _record_resource(
    request: Any, urn: str, inputs: dict[str, Any], secrets: set[str], outputs: dict[str, Any]
) -> Recorded:
    return Recorded(
        type=request.type,
        name=request.name,
        urn=urn,
        custom=request.custom,
        inputs=inputs,
        secret_paths=frozenset(secrets),
        parent=request.parent,
        dependencies=tuple(request.dependencies),
        property_dependencies={key: tuple(sorted(value.urns)) for key, value in request.propertyDependencies.items()},
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=tuple(MessageToDict(alias) for alias in request.aliases),
        custom_timeouts=MessageToDict(request.customTimeouts),
        deleted_with=request.deletedWith,
        import_id=request.importId,
        provider=request.provider,
        providers=dict(request.providers),
        request=request,
        outputs=outputs,
    )


def _physical_name(type: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The physical name: as given, or the logical one and seven random hexadecimal digits (here always the same)."""
    if type.startswith("kubernetes:"):
        metadata = dict(inputs.get("metadata") or {})
        metadata.setdefault("name", f"{name}-0123abc")
        where = f"{metadata['namespace']}/" if "namespace" in metadata else ""
        return {"metadata": metadata, "id": f"{where}{metadata['name']}"}
    return {} if "name" in inputs or not type.startswith("gcp:") else {"name": f"{name}-0123abc"}


def _path(kind: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Ids and self links of resources that Google names by a path; ``{key}`` stands for an input."""

    def compute(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
        place = {"project": "test-project", "region": "", "location": "", **inputs}
        path = kind.format_map({key: value for key, value in place.items() if isinstance(value, str)})
        return {"id": path, "selfLink": f"https://www.googleapis.com/compute/v1/{path}"}

    return compute


def _service_account(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    project = inputs.get("project", "test-project")
    domain = ".".join(reversed(project.split(":")))  # of a project of a domain, example.com:my-project
    email = f"{inputs['accountId']}@{domain}.iam.gserviceaccount.com"
    name = f"projects/{project}/serviceAccounts/{email}"
    return {"id": name, "name": name, "email": email, "member": f"serviceAccount:{email}", "uniqueId": "1"}


def _cluster(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    location = inputs.get("location", "us-central1")
    region = "-".join(location.split("-")[:2])
    endpoint = f"gke-0123456789abcdef-{PROJECT_NUMBER}.{region}.gke.goog"
    endpoints: dict[str, Any] = dict(inputs.get("controlPlaneEndpointsConfig") or {})
    dns = dict(endpoints.get("dnsEndpointConfig") or {})
    return {
        **_path("projects/{project}/locations/{location}/clusters/{name}")(name, inputs),
        "endpoint": "172.16.0.2",
        "masterVersion": "1.35.1-gke.1000000",
        "masterAuth": {"clusterCaCertificate": CA_CERTIFICATE},
        "controlPlaneEndpointsConfig": {**endpoints, "dnsEndpointConfig": {**dns, "endpoint": endpoint}},
    }


def _bucket(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"id": inputs["name"], "url": f"gs://{inputs['name']}"}


def _service_identity(_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    agent = {"container.googleapis.com": "container-engine-robot"}.get(
        inputs["service"], f"gcp-sa-{inputs['service'].split('.')[0]}"
    )
    email = f"service-{PROJECT_NUMBER}@{agent}.iam.gserviceaccount.com"
    return {"email": email, "member": f"serviceAccount:{email}"}


OUTPUTS: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "gcp:artifactregistry/repository:Repository": _path(
        "projects/{project}/locations/{location}/repositories/{repositoryId}"
    ),
    "gcp:compute/network:Network": _path("projects/{project}/global/networks/{name}"),
    "gcp:compute/subnetwork:Subnetwork": _path("projects/{project}/regions/{region}/subnetworks/{name}"),
    "gcp:compute/router:Router": _path("projects/{project}/regions/{region}/routers/{name}"),
    "gcp:container/cluster:Cluster": _cluster,
    "gcp:container/nodePool:NodePool": _path("{cluster}/nodePools/{name}"),
    "gcp:kms/keyRing:KeyRing": _path("projects/{project}/locations/{location}/keyRings/{name}"),
    "gcp:kms/cryptoKey:CryptoKey": _path("{keyRing}/cryptoKeys/{name}"),
    "gcp:projects/serviceIdentity:ServiceIdentity": _service_identity,
    "gcp:serviceaccount/account:Account": _service_account,
    "gcp:storage/bucket:Bucket": _bucket,
}
"""Outputs of a resource by type: a function of its logical name and its inputs (physical name included). The key
``id`` is the resource's id; without one, it is the logical name."""

FUNCTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": lambda _: {
        "emailAddress": f"service-{PROJECT_NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
        "member": f"serviceAccount:service-{PROJECT_NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
    },
}
"""Answers of provider functions by token."""

EXISTING: dict[tuple[str, str], dict[str, Any]] = {
    ("kubernetes:core/v1:Service", "default/kubernetes"): {"spec": {"clusterIP": "10.96.0.1", "ipFamilies": ["IPv4"]}},
}
"""Outputs of what a program reads without making it, by type and id."""

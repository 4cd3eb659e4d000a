"""A Pulumi provider plugin in Python: everything that does not depend on which cloud it stands for.

Owns: the plugin protocol (a gRPC servicer on 127.0.0.1 whose port is the first line of standard output),
property values in and out, errors in the form that the engine understands, secrets that stay secret, injected
faults. A cloud subclasses :class:`Plugin` and deals in plain Python values; see ``properties.py`` for the three
markers (unknown, secret, special) that these may contain.

Leaves alone: what a resource is, where it is kept, how it is checked. That is for ``local/providers/<cloud>``.

Calls come in parallel, each on a thread of its own; a plugin guards what it shares.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from llm_serving.errors import Problem, ProblemsError
from local.providers.differences import Change, Difference, compare
from local.providers.faults import FaultPlan, InjectedFaultError
from local.providers.properties import (
    UNKNOWN,
    Properties,
    Secret,
    contains_unknown,
    from_struct,
    keep_secret,
    to_struct,
)

MAX_MESSAGE_BYTES = 400 * 1024 * 1024  # as in Pulumi's SDKs: sdk/go/common/util/rpcutil
_THREADS = 256  # a create may wait for minutes; the engine has at most a few dozen steps under way
_R = TypeVar("_R")


@dataclass(frozen=True)
class Resource:
    """Which resource a call is about.

    Attributes:
        urn: unique within Pulumi's backend.
        token: type, for example ``gcp:container/nodePool:NodePool``.
        name: name in the program.
    """

    urn: str
    token: str
    name: str

    @classmethod
    def of(cls, urn: str, token: str = "", name: str = "") -> "Resource":
        """From a request; engines before 3.121 send the URN alone."""
        parts = urn.split("::", 3)
        inner = parts[2].rsplit("$", 1)[-1] if len(parts) > 2 else ""
        return cls(urn, token or inner, name or (parts[3] if len(parts) > 3 else ""))


@dataclass(frozen=True)
class Autoname:
    """How the engine wants a resource without a name to be named.

    Attributes:
        seed: stable for one deployment; random names are drawn from it, so that a preview and its update
            agree.
        proposed: a name from the stack's ``pulumi:autonaming`` settings, or an empty string.
        enforced: use ``proposed`` as it is.
        disabled: a resource without a name is an error.
    """

    seed: bytes = b""
    proposed: str = ""
    enforced: bool = False
    disabled: bool = False


@dataclass(frozen=True)
class Checked:
    """The outcome of a check.

    Attributes:
        inputs: the inputs with what the cloud fills in.
        problems: why they are refused; paths are property paths on the wire.
        warnings: what is shown to the user although they are accepted.
    """

    inputs: Properties
    problems: Sequence[Problem] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Created:
    """A resource that now exists; in a preview one that would, with :data:`UNKNOWN` outputs and no id."""

    id: str
    outputs: Properties


@dataclass(frozen=True)
class State:
    """A resource as it was found. ``inputs`` are what a program would have to say to get it."""

    id: str
    inputs: Properties
    outputs: Properties


class CloudError(Exception):
    """An operation was refused or failed, and nothing of it has to be remembered.

    The message is for the user: it names the resource, the cause, and what to do.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__(message)
        self.code = code


class InitializationFailedError(CloudError):
    """The resource exists, but did not become what was asked for.

    The engine keeps it in its state with the reasons, and the next update tries again.
    """

    def __init__(self, id: str, outputs: Properties, reasons: Sequence[str], inputs: Properties | None = None) -> None:
        super().__init__("; ".join(reasons) or "resource failed to initialize")
        self.id = id
        self.outputs = outputs
        self.reasons = tuple(reasons)
        self.inputs = inputs


class Engine:
    """The way back to the engine: messages to the user."""

    def __init__(self) -> None:
        self._stub: engine_pb2_grpc.EngineStub | None = None

    def attach(self, address: str) -> None:
        """Connect to the engine at ``host:port``."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def warning(self, message: str, urn: str = "") -> None:
        """Show a warning, at the resource where ``urn`` names one."""
        self._log(engine_pb2.WARNING, message, urn, ephemeral=False)

    def info(self, message: str, urn: str = "") -> None:
        """Show a message."""
        self._log(engine_pb2.INFO, message, urn, ephemeral=False)

    def status(self, message: str, urn: str) -> None:
        """Show what a resource is waiting for, until the next message of this kind."""
        self._log(engine_pb2.INFO, message, urn, ephemeral=True)

    def debug(self, message: str, urn: str = "") -> None:
        """Write to the engine's debug log."""
        self._log(engine_pb2.DEBUG, message, urn, ephemeral=False)

    def _log(self, severity: Any, message: str, urn: str, *, ephemeral: bool) -> None:
        if self._stub is None:
            print(message, file=sys.stderr)
            return
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=10)
        except grpc.RpcError:  # the engine is going down: the message has nobody to go to
            print(message, file=sys.stderr)


class Plugin(ABC):
    """One cloud. Subclasses set ``name`` and ``version`` and override the operations.

    ``inputs`` and ``outputs`` are plain values that may contain :class:`Secret` and, where ``preview`` is set
    or in a check or comparison, :data:`UNKNOWN`. Every operation may raise :class:`CloudError`,
    :class:`InitializationFailedError` or :class:`llm_serving.errors.ProblemsError`.

    Attributes:
        name: package name, for example ``gcp``.
        version: version of the SDK that it stands for, without ``v``.
        engine: messages to the user.
        cancelled: set when the user interrupts; whatever waits should look at it and give up.
        faults: what has been asked to fail.
        settings: the provider's settings, once :meth:`configure` has run.
    """

    name: str
    version: str

    def __init__(self, faults: FaultPlan | None = None) -> None:
        self.engine = Engine()
        self.cancelled = threading.Event()
        self.faults = faults or FaultPlan.none()
        self.settings: Properties = {}

    def check_config(self, inputs: Properties) -> Checked:
        """Check a provider's own settings. Compound values arrive as JSON text."""
        return Checked(inputs)

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        """Compare a provider's settings; a replaced provider replaces all its resources."""
        return compare(old, new)

    def configure(self, inputs: Properties) -> None:
        """Take over the provider's settings. Runs first, and not at all while they are unknown."""
        self.settings = inputs

    @abstractmethod
    def check(self, resource: Resource, inputs: Properties, olds: Properties | None, autoname: Autoname) -> Checked:
        """Check a resource's inputs and fill in what the cloud would; no ``olds`` where it is new."""

    @abstractmethod
    def diff(
        self,
        resource: Resource,
        id: str,
        old_inputs: Properties,
        outputs: Properties,
        inputs: Properties,
        ignored: Sequence[str] = (),
    ) -> Difference:
        """Compare a resource that exists with the inputs that it should have. ``ignored`` are the property paths of
        ``ignoreChanges``; the engine has put the old values back into ``inputs``."""

    @abstractmethod
    def create(self, resource: Resource, inputs: Properties, timeout: float, preview: bool) -> Created:
        """Create a resource. ``timeout`` is in seconds, 0 for the cloud's own default."""

    @abstractmethod
    def read(self, resource: Resource, id: str, inputs: Properties, outputs: Properties) -> State | None:
        """Look a resource up; ``None`` if it is gone. ``inputs`` and ``outputs`` are empty in an import."""

    @abstractmethod
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
        """Change a resource in place and return its outputs. ``ignored`` as in :meth:`diff`."""

    @abstractmethod
    def delete(self, resource: Resource, id: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        """Delete a resource; one that is gone already is no error."""

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Run a function, for example ``gcp:compute/getZones:getZones``."""
        raise CloudError(f"{token}: the local {self.name} has no such function", grpc.StatusCode.UNIMPLEMENTED)

    def schema(self) -> str:
        """The package schema as JSON: name and version only; the rest is in the real SDK."""
        return f'{{"name": "{self.name}", "version": "{self.version}"}}'

    def cancel(self) -> None:
        """Give up what is waiting."""
        self.cancelled.set()


# The names of the methods are those of the protocol, which also describes them (provider.proto).
# ruff: noqa: N802, D102


@dataclass
class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """The plugin protocol in front of a :class:`Plugin`."""

    plugin: Plugin
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self.plugin.version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema=self.plugin.schema())

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.plugin.engine.attach(request.address)
        return empty_pb2.Empty()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.engine_address:
            self.plugin.engine.attach(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True,
            accept_resources=False,
            accept_outputs=False,
            supports_autonaming_configuration=True,
        )

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer(
            context,
            request.urn,
            lambda: self._checked(request.urn, self.plugin.check_config(from_struct(request.news))),
        )

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        old = request.old_inputs if request.HasField("old_inputs") else request.olds
        return self._answer(
            context,
            request.urn,
            lambda: _difference(self.plugin.diff_config(from_struct(old), from_struct(request.news))),
        )

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        def configure() -> Any:
            self.plugin.configure(from_struct(request.args))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True,
                supportsPreview=True,
                acceptResources=False,
                acceptOutputs=False,
                supports_autonaming_configuration=True,
            )

        return self._answer(context, request.urn, configure)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        resource = Resource.of(request.urn, request.type, request.name)
        mode = request.autonaming.mode
        autoname = Autoname(
            request.randomSeed,
            request.autonaming.proposed_name,
            enforced=mode == provider_pb2.CheckRequest.AutonamingOptions.ENFORCE,
            disabled=mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE,
        )
        olds = from_struct(request.olds) if request.olds.fields else None
        return self._answer(
            context,
            request.urn,
            lambda: self._checked(request.urn, self.plugin.check(resource, from_struct(request.news), olds, autoname)),
        )

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        resource = Resource.of(request.urn, request.type, request.name)
        outputs = from_struct(request.olds)
        old_inputs = from_struct(request.old_inputs) if request.HasField("old_inputs") else outputs
        ignored = tuple(request.ignoreChanges)
        return self._answer(
            context,
            request.urn,
            lambda: _difference(
                self.plugin.diff(resource, request.id, old_inputs, outputs, from_struct(request.news), ignored)
            ),
        )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        resource = Resource.of(request.urn, request.type, request.name)
        inputs = from_struct(request.properties)

        def create() -> Any:
            created = self._operation(
                "create",
                resource,
                inputs,
                lambda: self.plugin.create(resource, inputs, request.timeout, request.preview),
                preview=request.preview,
            )
            return provider_pb2.CreateResponse(
                id=created.id, properties=to_struct(keep_secret(inputs, created.outputs))
            )

        return self._answer(context, request.urn, create, inputs)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        resource = Resource.of(request.urn, request.type, request.name)
        inputs, outputs = from_struct(request.inputs), from_struct(request.properties)

        def read() -> Any:
            state = self._operation(
                "read",
                resource,
                inputs,
                lambda: self.plugin.read(resource, request.id, inputs, outputs),
            )
            if state is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=state.id,
                properties=to_struct(keep_secret(inputs, state.outputs)),
                inputs=to_struct(keep_secret(inputs, state.inputs)),
            )

        return self._answer(context, request.urn, read, inputs)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        resource = Resource.of(request.urn, request.type, request.name)
        outputs, inputs = from_struct(request.olds), from_struct(request.news)
        old_inputs = from_struct(request.old_inputs) if request.HasField("old_inputs") else outputs
        ignored = tuple(request.ignoreChanges)

        def update() -> Any:
            result = self._operation(
                "update",
                resource,
                inputs,
                lambda: self.plugin.update(
                    resource, request.id, old_inputs, outputs, inputs, request.timeout, request.preview, ignored
                ),
                preview=request.preview,
            )
            return provider_pb2.UpdateResponse(properties=to_struct(keep_secret(inputs, result)))

        return self._answer(context, request.urn, update, inputs)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        resource = Resource.of(request.urn, request.type, request.name)
        outputs = from_struct(request.properties)
        inputs = from_struct(request.old_inputs) if request.HasField("old_inputs") else outputs

        def delete() -> Any:
            self._operation(
                "delete",
                resource,
                inputs,
                lambda: self.plugin.delete(resource, request.id, inputs, outputs, request.timeout),
            )
            return empty_pb2.Empty()

        return self._answer(context, request.urn, delete, inputs)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        def invoke() -> Any:
            arguments = from_struct(request.args)
            try:
                result = self.plugin.invoke(request.tok, arguments)
            except ProblemsError as error:
                return provider_pb2.InvokeResponse(failures=_failures(error.problems))
            response = provider_pb2.InvokeResponse()
            getattr(response, "return").CopyFrom(to_struct(result))
            return response

        return self._answer(context, request.tok, invoke)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.plugin.cancel()
        return empty_pb2.Empty()

    def _operation(
        self,
        name: str,
        resource: Resource,
        inputs: Properties,
        run: Callable[[], _R],
        *,
        preview: bool = False,
    ) -> _R:
        """Run an operation with the faults that were asked for before and after it."""
        if preview:
            return run()
        fault = self.plugin.faults.draw(resource.token, resource.name, name)
        if fault is None:
            return run()
        if not fault.after:
            fault.strike(self.plugin.name, resource.token, resource.name, name, inputs)
        result = run()
        if fault.after:
            fault.strike(self.plugin.name, resource.token, resource.name, name, inputs)
        return result

    def _checked(self, urn: str, checked: Checked) -> Any:
        for warning in checked.warnings:
            self.plugin.engine.warning(warning, urn)
        if checked.problems:
            return provider_pb2.CheckResponse(failures=_failures(checked.problems))
        return provider_pb2.CheckResponse(inputs=to_struct(checked.inputs))

    def _answer(
        self,
        context: grpc.ServicerContext,
        subject: str,
        run: Callable[[], Any],
        inputs: Properties | None = None,
    ) -> Any:
        """Run a call, and turn what it raises into the status that the engine expects."""
        try:
            return run()
        except InitializationFailedError as error:
            _abort_initialization(context, error, inputs or {})
        except (CloudError, InjectedFaultError) as error:
            context.abort(getattr(error, "code", grpc.StatusCode.UNKNOWN), str(error))
        except ProblemsError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:
            traceback.print_exc()
            context.abort(
                grpc.StatusCode.INTERNAL,
                f"the local {self.plugin.name} failed on {subject}: {type(error).__name__}: {error}\n"
                f"{traceback.format_exc()}",
            )


def _failures(problems: Sequence[Problem]) -> list[Any]:
    """Problems as the engine shows them best.

    It looks the value up by itself, but only at the top level: at a nested path it would show ``<nil>``.
    There the path and the value stand in the reason.
    """
    return [
        provider_pb2.CheckFailure(property=problem.path, reason=_reason(problem))
        if problem.value is not None and _top(problem.path) == problem.path
        else provider_pb2.CheckFailure(reason=str(replace(problem, value=_shown(problem.value))))
        for problem in problems
    ]


def _reason(problem: Problem) -> str:
    hint = f" (try: {problem.suggestion})" if problem.suggestion else ""
    return f"{problem.reason}{hint}"


def _shown(value: Any) -> Any:
    """A value as far as a message may show it: no secrets, nothing large, nothing unknown."""
    return None if value is UNKNOWN or isinstance(value, Secret | Mapping | list) else value


def _difference(difference: Difference) -> Any:
    tops = dict.fromkeys(_top(path) for path in difference.changes)
    replacing = dict.fromkeys(_top(path) for path in difference.replacing)
    return provider_pb2.DiffResponse(
        changes=(provider_pb2.DiffResponse.DIFF_SOME if difference.changes else provider_pb2.DiffResponse.DIFF_NONE),
        diffs=list(tops),
        replaces=list(replacing),
        deleteBeforeReplace=difference.delete_before_replace and difference.replaces,
        hasDetailedDiff=True,
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=_property_diff(change, path in difference.replacing), inputDiff=True)
            for path, change in difference.changes.items()
        },
    )


def _property_diff(change: Change, replaces: bool) -> Any:
    return provider_pb2.PropertyDiff.Kind.Value(f"{change.name}_REPLACE" if replaces else change.name)


def _top(path: str) -> str:
    """The first step of a property path."""
    return path.split(".", 1)[0].split("[", 1)[0]


def _abort_initialization(
    context: grpc.ServicerContext, error: InitializationFailedError, inputs: Properties
) -> NoReturn:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.id,
        properties=to_struct(keep_secret(inputs, error.outputs)),
        reasons=error.reasons,
        inputs=to_struct(inputs if error.inputs is None else keep_secret(inputs, error.inputs)),
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))


def preview_outputs(inputs: Properties, computed: Sequence[str]) -> Properties:
    """What a preview knows of a resource that does not exist yet: its inputs, and ``computed`` unknown."""
    return {**dict.fromkeys(computed, UNKNOWN), **inputs}


def still_unknown(inputs: Properties) -> None:
    """Refuse inputs that should be known by now.

    Raises:
        CloudError: something in them is unknown although this is no preview.
    """
    if contains_unknown(inputs):
        raise CloudError("an input is still unknown outside of a preview", grpc.StatusCode.INVALID_ARGUMENT)


def start(plugin: Plugin) -> tuple[grpc.Server, int]:
    """Serve ``plugin`` on a free port of 127.0.0.1 and return the server and the port."""
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="call"),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(plugin), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def serve(plugin: Plugin, arguments: Sequence[str]) -> None:
    """Run as a plugin process until the engine ends it. ``arguments`` are the command line without the
    program.
    """
    for argument in arguments:
        if not argument.startswith("-") and ":" in argument:
            plugin.engine.attach(argument)
    server, port = start(plugin)
    stop: queue.SimpleQueue[int] = queue.SimpleQueue()  # not an Event, for whose lock a signal handler might wait
    # The engine ends its plugins with SIGINT and waits 5 s for each before it kills. Ctrl-C of a terminal does not come
    # here: plugins have a process group of their own (sdk/go/common/util/cmdutil).
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stop.put(number))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray print must not look like a log of the engine's
    # The launcher says who started it: asked for here, the engine may be gone already and its heir be taken for it.
    parent = int(os.environ.get("LLM_SERVING_ENGINE_PID") or os.getppid())
    while os.getppid() == parent:  # an engine that was killed could not end its plugins
        with contextlib.suppress(queue.Empty):
            stop.get(timeout=1.0)
            break
    server.stop(grace=None)
    os._exit(0)  # threads that wait for a cloud would hold the process

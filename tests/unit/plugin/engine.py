"""The engine's side of the plugin protocol: the real plugin process, driven over gRPC as ``pulumi`` drives it."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import ParseDict
from pulumi.runtime import rpc
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    errors_pb2,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2_grpc,
    status_pb2,
)

from tests.unit.cloud.aws import outputs as aws
from tests.unit.recording import EXISTING, FUNCTIONS, OUTPUTS, Recording, RecordingMonitor, plain

PLUGIN = Path(__file__).parents[3] / "components"
PROJECT, STACK = "consumer", "test"


class RefusedError(Exception):
    """The plugin answered with an error.

    Attributes:
        code: gRPC status.
        message: text of the error.
        reasons: reason by property path.
    """

    def __init__(self, code: grpc.StatusCode, message: str, reasons: dict[str, str]) -> None:
        super().__init__(f"{code}: {message} {reasons}")
        self.code = code
        self.message = message
        self.reasons = reasons


@dataclass(frozen=True)
class Constructed:
    """The plugin's answer.

    Attributes:
        urn: of the component.
        state: its outputs, in plain data.
        secrets: property paths of those that are secret.
        dependencies: URNs by output.
        recording: what it asked the engine for.
    """

    urn: str
    state: dict[str, Any]
    secrets: set[str]
    dependencies: dict[str, list[str]]
    recording: Recording


class Monitor(RecordingMonitor):
    """The recording monitor, outside of a Pulumi program."""

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        above = parent.split("::")[2] if parent else ""
        return f"urn:pulumi:{STACK}::{PROJECT}::{above}${type_}::{name}".replace("::$", "::")


class _MonitorService(resource_pb2_grpc.ResourceMonitorServicer):
    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 the name in the protocol
        return self._monitor.GetDeploymentInfo(request)

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802 the name in the protocol
        return self._monitor.RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802 the name in the protocol
        return self._monitor.RegisterResourceOutputs(request)

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802 the name in the protocol
        return self._monitor.Invoke(request)


class _EngineService(engine_pb2_grpc.EngineServicer):
    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 the name in the protocol
        return empty_pb2.Empty()


class Plugin:
    """A running plugin."""

    def __init__(self, stub: provider_pb2_grpc.ResourceProviderStub) -> None:
        self._stub = stub

    def schema(self) -> str:
        return self._stub.GetSchema(provider_pb2.GetSchemaRequest()).schema

    def construct(
        self,
        component: str,
        inputs: dict[str, Any],
        *,
        name: str = "it",
        preview: bool = False,
        dependencies: dict[str, list[str]] | None = None,
    ) -> Constructed:
        """Construct a component as for a program that passes ``inputs`` (spelt as on the wire).

        Raises:
            RefusedError: the plugin refused.
        """
        recording = Recording()
        monitor = Monitor(recording, preview, {**OUTPUTS, **aws.OUTPUTS}, FUNCTIONS, EXISTING)
        with _served(resource_pb2_grpc.add_ResourceMonitorServicer_to_server, _MonitorService(monitor)) as address:
            request = provider_pb2.ConstructRequest(
                project=PROJECT,
                stack=STACK,
                parallel=8,
                dryRun=preview,
                monitorEndpoint=address,
                type=f"llm-serving:index:{component}",
                name=name,
                inputs=ParseDict(inputs, struct_pb2.Struct()),
                inputDependencies={
                    key: provider_pb2.ConstructRequest.PropertyDependencies(urns=urns)
                    for key, urns in (dependencies or {}).items()
                },
            )
            try:
                answer = self._stub.Construct(request, timeout=60)
            except grpc.RpcError as error:
                raise _refusal(error) from None
        secrets: set[str] = set()
        state = _plain_outputs(plain(answer.state, secrets))
        urns_by_output = {key: list(value.urns) for key, value in answer.stateDependencies.items()}
        return Constructed(answer.urn, state, secrets, urns_by_output, recording)


def output(value: Any = None, *, dependencies: tuple[str, ...] = (), known: bool = True, secret: bool = False) -> Any:
    """An output of another resource, as the engine sends it to a plugin that accepts outputs."""
    wire: dict[str, Any] = {rpc._special_sig_key: rpc._special_output_value_sig}
    if known:
        wire["value"] = value
    if secret:
        wire["secret"] = True
    if dependencies:
        wire["dependencies"] = list(dependencies)
    return wire


def secret(value: Any) -> Any:
    """A plain value that is secret."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


UNKNOWN = rpc.UNKNOWN
"""A value that is not known before the deployment."""


@contextmanager
def running_plugin() -> Iterator[Plugin]:
    """The plugin's process, started as the language host starts it; it ends with the block."""
    with _served(engine_pb2_grpc.add_EngineServicer_to_server, _EngineService()) as engine:
        process = subprocess.Popen([sys.executable, str(PLUGIN), engine], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port.isdigit(), "the plugin did not start"
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Plugin(provider_pb2_grpc.ResourceProviderStub(channel))
        finally:
            process.terminate()
            process.wait(timeout=10)


@contextmanager
def _served(add: Any, service: Any) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    add(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def _refusal(error: Any) -> RefusedError:
    reasons: dict[str, str] = {}
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                input_errors = errors_pb2.InputPropertiesError()
                if detail.Unpack(input_errors):
                    reasons |= {item.property_path: item.reason for item in input_errors.errors}
    return RefusedError(error.code(), error.details(), reasons)


def _plain_outputs(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == rpc._special_output_value_sig:
            return _plain_outputs(value.get("value", UNKNOWN))
        return {key: _plain_outputs(item) for key, item in value.items()}
    return [_plain_outputs(item) for item in value] if isinstance(value, list) else value

"""The engine's side of the plugin protocol, for tests: real gRPC to a real servicer on 127.0.0.1."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from local.providers.properties import from_struct, to_struct
from local.providers.provider import Plugin, start

Outputs = dict[str, Any]


class RefusedError(Exception):
    """A check that failed: ``property: reason`` a line."""


@dataclass
class Made:
    """A resource as the engine keeps it in its state."""

    urn: str
    token: str
    id: str
    inputs: Outputs
    outputs: Outputs


@dataclass
class Difference:
    """A diff response."""

    changes: dict[str, str]
    replaces: list[str]
    delete_before_replace: bool


@dataclass
class Engine:
    """One engine run: a server with the plugin, and what the engine would do with it."""

    plugin: Plugin
    project: str = "shop"
    stack: str = "dev"
    seed: bytes = b"seed"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> "Engine":
        self._server, port = start(self.plugin)
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=unlimited)
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self.stub.Configure(provider_pb2.ConfigureRequest(args=to_struct(self.settings)))
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._server.stop(grace=None)

    def urn(self, token: str, name: str) -> str:
        return f"urn:pulumi:{self.stack}::{self.project}::{token}::{name}"

    def check(self, token: str, name: str, inputs: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> Outputs:
        answer = self.stub.Check(
            provider_pb2.CheckRequest(
                urn=self.urn(token, name),
                news=to_struct(inputs),
                olds=to_struct(olds or {}),
                randomSeed=self.seed,
            )
        )
        if answer.failures:
            raise RefusedError("\n".join(f"{f.property}: {f.reason}" for f in answer.failures))
        return from_struct(answer.inputs)

    def diff(self, made: Made, inputs: Mapping[str, Any]) -> Difference:
        answer = self.stub.Diff(
            provider_pb2.DiffRequest(
                id=made.id,
                urn=made.urn,
                olds=to_struct(made.outputs),
                old_inputs=to_struct(made.inputs),
                news=to_struct(inputs),
            )
        )
        kinds = provider_pb2.PropertyDiff.Kind
        return Difference(
            {path: kinds.Name(entry.kind) for path, entry in answer.detailedDiff.items()},
            sorted(answer.replaces),
            answer.deleteBeforeReplace,
        )

    def create(self, token: str, name: str, inputs: Mapping[str, Any]) -> Made:
        """Check without old inputs, then create: what the engine does with something new."""
        return self.create_checked(token, name, self.check(token, name, inputs))

    def create_checked(self, token: str, name: str, checked: Mapping[str, Any]) -> Made:
        urn = self.urn(token, name)
        answer = self.stub.Create(provider_pb2.CreateRequest(urn=urn, properties=to_struct(checked)))
        return Made(urn, token, answer.id, dict(checked), from_struct(answer.properties))

    def preview(self, token: str, name: str, inputs: Mapping[str, Any]) -> Outputs:
        checked = self.check(token, name, inputs)
        request = provider_pb2.CreateRequest(urn=self.urn(token, name), properties=to_struct(checked), preview=True)
        return from_struct(self.stub.Create(request).properties)

    def update(self, made: Made, inputs: Mapping[str, Any], *, preview: bool = False) -> Made:
        """Check with old inputs, then update in place."""
        checked = self.check(made.token, made.urn.rpartition("::")[2], inputs, made.inputs)
        answer = self.stub.Update(
            provider_pb2.UpdateRequest(
                id=made.id,
                urn=made.urn,
                olds=to_struct(made.outputs),
                old_inputs=to_struct(made.inputs),
                news=to_struct(checked),
                preview=preview,
            )
        )
        return Made(made.urn, made.token, made.id, checked, from_struct(answer.properties))

    def read(self, made: Made) -> Made | None:
        answer = self.stub.Read(
            provider_pb2.ReadRequest(
                id=made.id, urn=made.urn, properties=to_struct(made.outputs), inputs=to_struct(made.inputs)
            )
        )
        if not answer.id:
            return None
        return Made(made.urn, made.token, answer.id, from_struct(answer.inputs), from_struct(answer.properties))

    def delete(self, made: Made) -> None:
        self.stub.Delete(
            provider_pb2.DeleteRequest(
                id=made.id,
                urn=made.urn,
                properties=to_struct(made.outputs),
                old_inputs=to_struct(made.inputs),
            )
        )

    def invoke(self, token: str, arguments: Mapping[str, Any]) -> Outputs:
        answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_struct(arguments)))
        if answer.failures:
            raise RefusedError("\n".join(f"{f.property}: {f.reason}" for f in answer.failures))
        return from_struct(getattr(answer, "return"))


def kept_resource(error: grpc.RpcError) -> Any:
    """The ``ErrorResourceInitFailed`` that an error carries."""
    metadata = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    with suppress(IndexError):
        status.details[0].Unpack(detail)
    return detail

"""Answers that are errors, as OpenAI's clients read them: status, error object, ``Retry-After``."""

from dataclasses import dataclass
from typing import Any

from llm_serving_gateway import encoding

STATUSES = {
    400: "The body is not what the path takes, or not what the model does.",
    401: "No key, or one that does not count.",
    403: "The key may not ask this model.",
    404: "There is no such path or model.",
    405: "The path does not take this method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "A limit of the key is reached.",
    503: "No back end answers now.",
}
"""What refusals mean, by their status."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}


@dataclass
class RefusalError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        message: for the client's people: what is wrong and what would work, never anything of the inside.
        code: for the client's program.
        param: field of the request that is to blame.
        retry_after: seconds after which the same request may succeed.
        allowed: the method that the path takes.
    """

    status: int
    message: str
    code: str
    param: str | None = None
    retry_after: int | None = None
    allowed: str | None = None

    def body(self) -> bytes:
        """OpenAI's error object."""
        return encoding.dumps({"error": self.error()})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What goes with it besides the headers of its body."""
        headers = {"retry-after": self.retry_after, "allow": self.allowed}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return [(name.encode(), str(value).encode()) for name, value in headers.items() if value is not None]

    def error(self) -> dict[str, Any]:
        """What is under ``error`` in it."""
        kind = _TYPES.get(self.status, "server_error")
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}


def invalid(message: str, param: str | None = None, code: str = "invalid_request") -> RefusalError:
    """A request that can never succeed as it is."""
    return RefusalError(400, message, code, param)


def unavailable(message: str = "No back end of this model answers now.", retry_after: int = 5) -> RefusalError:
    """A request that could not be served, by no fault of its own."""
    return RefusalError(503, message, "backend_unavailable", retry_after=retry_after)


def unknown_model() -> RefusalError:
    """A request for a model that is not there, or not in the release that it names."""
    return RefusalError(404, "There is no such model.", "model_not_found", "model")

"""Requests to the engine's own HTTP endpoint."""

import http.client
import json
from dataclasses import dataclass

_LARGEST = 16 * 1024 * 1024
"""Longest answer that is read; metrics of a busy engine are below a megabyte."""


class NoAnswerError(Exception):
    """The engine did not answer; the text says how."""


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes


class EngineClient:
    """Asks the engine, one connection a request: one that is kept open would hold up its shutdown."""

    def __init__(self, host: str, port: int, api_key: str | None = None) -> None:
        self._host = host
        self._port = port
        self._headers = {"Accept": "*/*"}
        self._key = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def get(self, path: str, timeout: float) -> Answer:
        """GET a path.

        Raises:
            NoAnswerError: no complete answer within ``timeout`` seconds a step.
        """
        return self._ask("GET", path, None, timeout)

    def complete(self, model: str, prompt: str, tokens: int, timeout: float) -> Answer:
        """Have so many tokens generated after a prompt.

        Raises:
            NoAnswerError: no complete answer within ``timeout`` seconds a step.
        """
        content = json.dumps({"model": model, "prompt": prompt, "max_tokens": tokens})
        return self._ask("POST", "/v1/completions", content.encode(), timeout)

    def _ask(self, method: str, path: str, content: bytes | None, timeout: float) -> Answer:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        headers = self._headers | (self._key if path.startswith("/v1/") else {})
        if content is not None:
            headers |= {"Content-Type": "application/json"}
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(_LARGEST))
        except TimeoutError:
            raise NoAnswerError(f"{path} did not answer within {timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(f"{path}: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def models(self, timeout: float) -> list[str]:
        """Names of the models that the engine serves.

        Raises:
            NoAnswerError: it did not answer, or not with a list of models.
        """
        answer = self.get("/v1/models", timeout)
        if answer.status in (401, 403):
            raise NoAnswerError(
                f"/v1/models answers {answer.status}: give the engine's key in VLLM_API_KEY, without blanks"
            )
        if answer.status != 200:
            raise NoAnswerError(f"/v1/models answers {answer.status}")
        try:
            return [str(model["id"]) for model in json.loads(answer.body)["data"]]
        except (ValueError, KeyError, TypeError):
            raise NoAnswerError("/v1/models answers with something that is no list of models") from None

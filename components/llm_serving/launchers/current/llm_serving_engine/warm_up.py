"""One short request to the engine before anybody else's: what it compiles and loads at the first use is there then."""

import json

from llm_serving_engine.client import EngineClient, NoAnswerError

_PROMPT, _TOKENS = "Hello", 8
_SHOWN = 300
"""Characters of an engine's refusal that are shown."""


class WarmUpError(Exception):
    """The request was not answered as it should be; the text says how."""


class WarmUp:
    """Asks for a few tokens through the engine's API, sampled as the model's defaults say.

    Args:
        client: asks the engine.
        seconds: after which the request has failed.
    """

    def __init__(self, client: EngineClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    def run(self, model: str) -> None:
        """Return once the request was answered.

        Raises:
            WarmUpError: it was not answered in time, refused, or answered without a text.
        """
        try:
            answer = self._client.complete(model, _PROMPT, _TOKENS, self._seconds)
        except NoAnswerError as error:
            raise WarmUpError(f"the warm-up request failed: {error}") from None
        if answer.status != 200:
            body = answer.body.decode(errors="replace").strip()[:_SHOWN]
            raise WarmUpError(f"the warm-up request was answered with {answer.status}: {body}")
        try:
            text = json.loads(answer.body)["choices"][0]["text"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise WarmUpError("the warm-up request was answered with something that is no completion") from None
        if not isinstance(text, str):
            raise WarmUpError("the warm-up request was answered without a text")

"""``python generator.py MODEL PORT``: answers requests for text with ``transformers``, for ``bench.batching``.

Runs with the Python of the engine's image, where torch and transformers are, and imports nothing of this repository.
``POST`` of ``{"requests": [{"prompt": [token ids], "tokens": count}], "batch": size}`` generates greedily, one static
batch after the other: prompts are padded to the longest on their left, and a batch ends with its longest answer. A
batch of one is one-at-a-time generation. The reply is ``{"answers": [[token ids]]}``, each cut to what was asked for.
``GET`` replies ``{"threads": torch's threads}``, as soon as the model is loaded.
"""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from transformers import AutoModelForCausalLM  # pyright: ignore[reportMissingImports]


def generate(model: Any, requests: list[dict[str, Any]]) -> list[list[int]]:
    """The answers of one batch."""
    longest = max(len(request["prompt"]) for request in requests)
    tokens = max(request["tokens"] for request in requests)
    padding = [longest - len(request["prompt"]) for request in requests]
    with torch.inference_mode():
        generated = model.generate(
            torch.tensor([[0] * pad + request["prompt"] for pad, request in zip(padding, requests, strict=True)]),
            attention_mask=torch.tensor([[0] * pad + [1] * (longest - pad) for pad in padding]),
            do_sample=False,
            max_new_tokens=tokens,
        )
    answers: list[list[int]] = generated[:, longest:].tolist()
    return [answer[: request["tokens"]] for answer, request in zip(answers, requests, strict=True)]


def main() -> None:
    """Load the model, then serve one request after the other until ended."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    folder, port = sys.argv[1:]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    # No answer ends before its length. (The padding's id matters only to what is masked.)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({"threads": torch.get_num_threads()})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests, size = body["requests"], body["batch"]
            batches = [requests[start : start + size] for start in range(0, len(requests), size)]
            self._reply({"answers": [answer for batch in batches for answer in generate(model, batch)]})

        def _reply(self, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()

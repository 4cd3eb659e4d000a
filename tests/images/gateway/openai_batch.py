"""OpenAI's own client sends a batch: ``openai_batch.py URL KEY``, the lines of the batch on standard input.

It writes what came of it as JSON: the batch, its output and errors, and what else the client was told.
"""

import json
import sys
import time
from typing import Any

from openai import NotFoundError, OpenAI  # pyright: ignore[reportMissingImports]

client = OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
uploaded = client.files.create(file=("lines.jsonl", sys.stdin.buffer.read()), purpose="batch")
created = client.batches.create(
    input_file_id=uploaded.id,
    endpoint="/v1/chat/completions",
    completion_window="24h",
    metadata={"purpose": "a test"},
)
end = time.monotonic() + 120
while (batch := client.batches.retrieve(created.id)).status in ("validating", "in_progress", "finalizing"):
    assert time.monotonic() < end, batch
    time.sleep(0.05)


def lines(file: str | None) -> list[Any]:
    """What is in a file."""
    return [] if file is None else [json.loads(line) for line in client.files.content(file).text.splitlines()]


found: dict[str, Any] = {
    "batch": batch.model_dump(),
    "output": lines(batch.output_file_id),
    "errors": lines(batch.error_file_id),
    "listed": [each.id for each in client.batches.list(limit=1)],
    "files": [each.id for each in client.files.list(purpose="batch")],
    "cancelled": client.batches.cancel(created.id).status,
    "deleted": client.files.delete(uploaded.id).deleted,
}
try:
    client.files.content(uploaded.id)
except NotFoundError as error:
    found["after"] = error.code
json.dump(found, sys.stdout)

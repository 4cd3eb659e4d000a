"""JSON, by the fastest parser that there is: bodies are read and written twice a request."""

from orjson import JSONDecodeError, JSONEncodeError, dumps, loads  # pyright: ignore[reportMissingImports]

__all__ = ["JSONDecodeError", "JSONEncodeError", "dumps", "loads"]

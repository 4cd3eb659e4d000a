"""Asks a gateway as people's programs do, by OpenAI's library and by LangChain's: ``clients.py NAME``.

Runs in the clients' Python; the variables URL and LLM_KEY are the gateway's. Writes what came of it, as JSON.
"""

import json
import os
import sys
from typing import Any

import openai  # pyright: ignore[reportMissingImports]
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # pyright: ignore[reportMissingImports]

URL, KEY, MODEL = os.environ["URL"], os.environ["LLM_KEY"], "tiny"
MESSAGES: Any = [{"role": "user", "content": "hi"}]


def openai_library() -> dict[str, Any]:
    """What OpenAI's library makes of each path."""
    client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=12)
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=12, stream=True, stream_options=options
        )
    )
    texts = client.completions.create(model=MODEL, prompt="hi", max_tokens=12, extra_body={"top_k": 3})
    tokens = client.completions.create(model=MODEL, prompt=[1, 2, 3], max_tokens=12)
    vectors = client.embeddings.create(model="vectors", input=["hi"])
    return {
        "chat": answer.choices[0].message.content,
        "usage": answer.usage.total_tokens if answer.usage else None,
        "stream": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "stream usage": chunks[-1].usage.total_tokens if chunks[-1].usage else None,
        "completion": texts.choices[0].text,
        "completion of tokens": tokens.choices[0].text,
        "embedding": [round(each, 3) for each in vectors.data[0].embedding],
        "listed": MODEL in {model.id for model in client.models.list()},
        "model": client.models.retrieve(MODEL).id,
        "errors": [_error(client, **fields) for fields in ({"temperature": 9}, {"model": "nothing"})]
        + [_error(openai.OpenAI(base_url=URL, api_key="wrong", max_retries=0))],
    }


def _error(client: openai.OpenAI, **fields: Any) -> list[Any]:
    """Which exception of the library a request ends in, with its code."""
    try:
        client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **fields})
    except openai.APIStatusError as error:
        return [type(error).__name__, error.code]
    return []


def broken_stream() -> list[Any]:
    """What OpenAI's library got of a stream that breaks off, and how it says so."""
    client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)
    got = ""
    try:
        for chunk in client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=12, stream=True):
            got += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        return [got, type(error).__name__, error.code]
    return [got]


def langchain() -> dict[str, Any]:
    """What LangChain makes of it."""
    options: Any = {"base_url": URL, "api_key": KEY, "max_retries": 0}
    model = ChatOpenAI(model=MODEL, max_tokens=12, **options)
    vectors = OpenAIEmbeddings(model="vectors", check_embedding_ctx_length=False, **options)
    answer = model.invoke("hi")
    return {
        "chat": answer.content,
        "usage": answer.usage_metadata and answer.usage_metadata["total_tokens"],
        "stream": "".join(str(chunk.content) for chunk in model.stream("hi")),
        "embedding": [round(each, 3) for each in vectors.embed_query("hi")],
    }


if __name__ == "__main__":
    parts = {each.__name__: each for each in (openai_library, broken_stream, langchain)}
    json.dump(parts[sys.argv[1]](), sys.stdout)

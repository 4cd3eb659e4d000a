"""What people ask the gateway with works as it comes: OpenAI's library, LangChain's, and the lines of the pages."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from local.state_folder import REPOSITORY
from tests.images.gateway.backend import Behaviour
from tests.images.gateway.clients_environment import CLIENTS

PAGE = (REPOSITORY / "docs/gateway.md").read_text()
SHELL, PROGRAMS = (re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for kind in ("sh", "python"))
README = re.findall(r"^ *(curl .*/v1/chat/completions.*)$", (REPOSITORY / "README.md").read_text(), re.MULTILINE)


def environment(pod):
    # A proxy of the machine is not asked for the machine itself.
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "URL": f"{pod.url}/v1", "LLM_KEY": "sk-llm-any"}


def run(pod, *command, **options):
    process = subprocess.run(
        command, env=environment(pod), capture_output=True, text=True, timeout=300, check=False, **options
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def ask(pod, part):
    return json.loads(run(pod, CLIENTS.interpreter(), Path(__file__).with_name("clients.py"), part))


def test_openais_library_works_on_every_path_and_knows_its_errors(pod):
    assert ask(pod, "openai_library") == {
        "chat": "hello",
        "usage": 22,
        "stream": "w0 w1 w2 w3 w4 ",
        "stream usage": 22,
        "completion": "hello",
        "completion of tokens": "hello",
        "embedding": [0.1, 0.2],
        "listed": True,
        "model": "tiny",
        "errors": [
            ["BadRequestError", "invalid_value"],
            ["NotFoundError", "model_not_found"],
            ["AuthenticationError", "invalid_api_key"],
        ],
    }


def test_openais_library_raises_where_a_stream_breaks_off(pod, weighted):
    weighted.behaviour = Behaviour(breaks_after=2)
    assert ask(pod, "broken_stream") == ["w0 w1 ", "APIError", "backend_unavailable"]


def test_langchain_chats_streams_and_embeds(pod):
    assert ask(pod, "langchain") == {
        "chat": "hello",
        "usage": 22,
        "stream": "w0 w1 w2 w3 w4 ",
        "embedding": [0.1, 0.2],
    }


def test_a_completion_reaches_its_engine_with_every_field_as_it_was_sent(pod, weighted):
    fields = {
        "model": "tiny", "prompt": [[1, 2], [3]], "max_tokens": 3, "n": 2, "echo": True, "suffix": "end", "logprobs": 2,
        "response_format": {"type": "json_object"}, "stop": ["a"], "top_k": 3, "logit_bias": {"5": -1},
    }  # fmt: skip
    assert pod.post("/v1/completions", fields).status_code == 200
    ((path, _, sent),) = weighted.requests
    assert (path, {name: sent.get(name) for name in fields}) == ("/v1/completions", fields)


@pytest.mark.parametrize("lines", [line for line in SHELL if "curl" in line])
def test_lines_of_the_page_are_answered(protected, lines):
    assert "hello" in (said := run(protected, "bash", "-euc", lines)) or "w0" in said, said


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_of_the_page_are_answered(protected, program):
    given = "import os\nURL, LLM_KEY = os.environ['URL'], os.environ['LLM_KEY']\n"
    said = run(protected, CLIENTS.interpreter(), "-c", given + program)
    assert "w0 w1" in said or "hello" in said


@pytest.mark.parametrize("line", README)
def test_the_line_that_make_up_prints_is_answered(protected, line):
    line = re.sub(r"http://[\d.:]+/v1", "$URL", line).replace("sk-llm-...", "$LLM_KEY")
    assert "hello" in run(protected, "bash", "-euc", line)


def test_the_pages_have_lines_and_programs():
    assert len([line for line in SHELL if "curl" in line]) >= 2
    assert len(PROGRAMS) >= 2
    assert README

"""What is wrong with a chat template, found by rendering it (:mod:`stacks.checkpoint.template_rendering`)."""

from collections.abc import Sequence

from llm_serving.errors import Problem

QUESTION = "What is the capital of France?"
"""What the user of :data:`SAMPLE` asks."""

SAMPLE: Sequence[dict[str, str]] = (
    {"role": "user", "content": "Good morning."},
    {"role": "assistant", "content": "Good morning. How can I help?"},
    {"role": "user", "content": QUESTION},
)
"""A conversation that every chat template must take: turns of both sides, no system prompt, which some refuse."""


def template_problem(template: str, path: str) -> Problem | None:
    """What is wrong with a chat template, or ``None``: it is no Jinja, it fails on a sample conversation, or it leaves
    out what the user asked. Contents are texts or, where the template reads them so, lists of parts: vLLM finds out
    which and gives it that (``_detect_content_format`` of ``vllm/renderers/hf.py``, 0.32.0)."""
    # Jinja is loaded with the first template: most stacks have none, and each preview would wait for it.
    from stacks.checkpoint.template_rendering import rendering_problem

    parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in SAMPLE]
    problem = rendering_problem(template, path, SAMPLE)
    return None if problem is None or rendering_problem(template, path, parts) is None else problem

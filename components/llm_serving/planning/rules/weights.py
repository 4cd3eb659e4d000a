"""Weights: somebody brings them into the model cache."""

from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.planning.rules.stack import StackShape

LOADER = "loader, with the image of images/model-loader: it loads from the Hugging Face hub, or from a mirror"
EXTERNAL = "weights: external, where somebody else fills the bucket before the models start"


def check_weights(stack: StackShape) -> Iterator[Problem]:
    """One of the two brings the weights: the stack's loader, or somebody else."""
    if stack.loader is not None and stack.weights is not None:
        reason = "somebody else brings the weights, and the loader would bring them too"
        yield Problem("weights", stack.weights, reason, "one of the two: weights, or loader")
    if stack.models and stack.cloud.makes_model_cache and stack.loader is None and stack.weights is None:
        reason = "nothing fills the bucket that this stack makes, and its models would wait for their weights for ever"
        yield Problem("loader", None, reason, f"{LOADER}; or {EXTERNAL}")

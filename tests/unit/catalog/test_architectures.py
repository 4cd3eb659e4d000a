"""Shapes of models add up to the publishers' parameter counts."""

import pytest

from llm_serving import catalog

EXPECTED = {
    "llama-3.1-8b", "llama-3.1-70b", "llama-2-7b", "llama-2-13b", "mistral-7b", "mixtral-8x7b",
    "qwen3-0.6b", "qwen3-8b", "qwen3-14b", "qwen3-32b", "tiny-llama",
}  # fmt: skip


def parameters_of_shape(model, experts):
    attention = 2 * model.hidden_size * model.head_dim * (model.heads + model.kv_heads)
    mlp = 3 * model.hidden_size * model.intermediate_size * experts
    return model.layers * (attention + mlp) + model.facts.embedding_parameters


def test_every_promised_architecture_is_there():
    assert {model.name for model in catalog.architectures()} == EXPECTED


@pytest.mark.parametrize("model", catalog.architectures(), ids=lambda model: model.name)
def test_parameters_follow_from_the_shape(model):
    assert parameters_of_shape(model, model.experts) == pytest.approx(model.parameters, rel=0.01)
    assert parameters_of_shape(model, model.experts_active) == pytest.approx(model.parameters_active, rel=0.01)


@pytest.mark.parametrize("model", catalog.architectures(), ids=lambda model: model.name)
def test_heads_are_shared_evenly_and_the_source_is_named(model):
    assert model.heads % model.kv_heads == 0
    assert model.experts >= model.experts_active >= 1
    assert model.repository.count("/") == 1
    assert model.source
    assert model.date

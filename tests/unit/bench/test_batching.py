import io
import json
import re
import struct
from collections.abc import Sequence

import pytest
from rich.console import Console

from bench import batching
from bench.batching import Level, Plan, Request, Round


def test_every_run_draws_the_same_requests_within_their_bounds():
    plan = Plan()
    drawn = plan.draw()
    assert drawn == Plan().draw()
    assert len({request.prompt for request in drawn}) == plan.requests
    for request in drawn:
        assert plan.prompt[0] <= len(request.prompt) <= plan.prompt[1]
        assert plan.answer[0] <= request.tokens <= plan.answer[1]


@pytest.mark.parametrize("clients", [1, 4, 16, 32, 50])
def test_clients_have_enough_requests_and_each_request_comes_equally_often(clients: int):
    drawn = Plan().draw()
    many = batching.repeated(drawn, clients)
    assert len(many) >= clients * batching.REPEATS
    assert len({many.count(request) for request in drawn}) == 1


def test_an_answer_of_another_length_gives_no_rate():
    requests = [Request((97,), 2), Request((98,), 3)]

    def exact(requests: Sequence[Request], size: int) -> list[list[int]]:
        return [[97] * request.tokens for request in requests]

    def cut(requests: Sequence[Request], size: int) -> list[list[int]]:
        return [[97] * 2 for _ in requests]

    assert batching.rate(exact, requests, 1) > 0
    with pytest.raises(SystemExit, match="lengths"):
        batching.rate(cut, requests, 1)


def test_ratios_are_taken_within_a_round_and_one_client_has_no_batches():
    rounds = [
        Round(100, {1: Level(200, None), 16: Level(600, 300)}),  # 2, 6, 2
        Round(10, {1: Level(40, None), 16: Level(50, 10)}),  # 4, 5, 5
        Round(50, {1: Level(150, None), 16: Level(350, 100)}),  # 3, 7, 3.5
    ]
    printed = io.StringIO()
    batching.report(rounds, Console(file=printed, width=120))
    assert "clients 1: continuous 150 tokens/s, 3.00 (2.00-4.00) times one at a time\n" in printed.getvalue()
    assert re.search(
        r"clients 16: .* 6\.00 \(5\.00-7\.00\) times one .* 3\.50 \(2\.00-5\.00\) times", printed.getvalue()
    )


def test_weights_have_the_shapes_that_the_configuration_says(tmp_path):
    folder = batching.make_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    content = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    tensors = json.loads(content[8 : 8 + length])
    tensors.pop("__metadata__")
    width, heads = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    last = f"model.layers.{config['num_hidden_layers'] - 1}"
    assert tensors["lm_head.weight"]["shape"] == [config["vocab_size"], width]
    assert tensors[f"{last}.self_attn.q_proj.weight"]["shape"] == [heads, width]
    keys = config["num_key_value_heads"] * config["head_dim"]
    assert tensors[f"{last}.self_attn.k_proj.weight"]["shape"] == [keys, width]
    assert tensors[f"{last}.mlp.down_proj.weight"]["shape"] == [width, config["intermediate_size"]]
    assert f"model.layers.{config['num_hidden_layers']}.mlp.down_proj.weight" not in tensors
    assert len(content) == 8 + length + 2 * batching.SHAPE.parameters

"""The measurements that need no engine run: figures can be made again."""

from bench import gateway, loader


def test_the_loader_is_measured_against_a_copy(capsys):
    assert loader.main(["--quick"]) == 0
    assert "throughput, a copy that hashes" in capsys.readouterr().out


def test_the_gateway_is_measured_against_litellm_with_its_defaults(capsys):
    assert gateway.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "LiteLLM" in printed
    assert "once Redis stops answering" in printed

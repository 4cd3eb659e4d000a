"""The measurement of the loader runs: figures can be made again."""

from bench import loader


def test_the_loader_is_measured_against_a_copy(capsys):
    assert loader.main(["--quick"]) == 0
    assert "throughput, a copy that hashes" in capsys.readouterr().out

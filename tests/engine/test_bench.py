"""The measurement of previews runs: figures can be made again."""

from bench import previews


def test_previews_are_measured(capsys):
    assert previews.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "peak memory of the program" in printed
    assert "milliseconds for each further model" in printed

"""What the reader of settings files accepts, the real engine reads as the same values: cases by the hundred, in one
file and one run of `pulumi config`."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_serving.errors import ProblemsError
from stacks.documents import load_yaml
from stacks.settings import NAMESPACE
from stacks.settings.engine_reading import check_reading
from tests.engine.local_stack import LocalStack

_PLAIN = r"""
yes no on off y n Y N true True TRUE tRue false null Null NULL nULL ~ = << ? - : ! & * | > % @ inf nan
.inf -.inf .Inf .nan 0 -0 00 +1 -1 08 017 0o17 0x1F 0b11 0b12 0xg 1_000 _1 1_ 1. .5 -.5 1.50 1.10 1.0.0
1e3 1E3 1e+3 1.e3 1.0e-3 1e 1e400 1:30 1:30.5 10:20:30 -1:30 2026-01-03 2026-1-3 2026-13-45 20260103
2026-01-03T02:00:00Z 2026-01-03x 9007199254740993 9223372036854775807 18446744073709551615 0.1
123456789012345678 1234567890123456789 0.30000000004 123456789.12345678 a:b a: :a a,b a#b #a a\b
10.0.0.0/8 e2-standard-4 gs://bucket/a?b=c#d !!str !!int !!float !!null !!bool !!binary !!set !a &a *a
"""
WORDS = [
    *_PLAIN.split(),
    *("'a'", "'it''s'", '"a"', r'"\u00e9"', r'"\x41"', r'"\/"', r'"\\/"', r'"\e"', r'"\0"', r'"\N"', r'"\ud83d"'),
    *("café", "naïve\u00a0a", "a\u2028b", "a\u0085b", '"a\u2028b"', "'a\u0085b'", "\U0001f600", "\ufeffa"),
    *("!!str 1", "!!int 1", "!!float 1", "! 1", "a b", "a #b"),
]
BLOCKS = (
    "|\n    one\n    two\n",
    ">\n    one\n    two\n\n    three\n",
    "|-\n    one\n",
    "|+\n    one\n",
    "\n    - a\n    - b: 1\n      c: [1, 2]\n",
    "\n  - a\n  - - b\n",
    "\n    a: &x {p: 1, q: 2}\n    b: {<<: *x, q: 3}\n    c: {q: 3, <<: *x}\n    d: {<<: [*x, {p: 5, r: 6}], s: 7}\n",
    "\n    a: &x [1, {b: c}]\n    d: *x\n",
    "\n    ? a\n    : b\n",
    "\n    a: one\n      two\n    b: 'one\n      two'\n    c: \"one\\\n      two\"\n",
    "\n    a:\n    b: ~\n    c: ''\n",
    "\n    <<: {a: 1}\n    '<<': b\n",
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.text("0123456789", min_size=1, max_size=20),
    st.text("01789_.+-eExobaTZ:", min_size=1, max_size=8),
    st.text("aé01 \"'\\:#,-?!&*<=~|>%@`\u0085\u2028\ufeff", max_size=6),
)
COMMAS = st.sampled_from([", ", ",", " ,"])
COLONS = st.sampled_from([": ", ":", " : ", " :"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(lambda items, comma: f"[{comma.join(items)}]", st.lists(inner, max_size=3), COMMAS),
        st.builds(
            lambda items, comma: "{" + comma.join(map("".join, items)) + "}",
            st.lists(st.tuples(SCALARS, COLONS, inner), max_size=3),
            COMMAS,
        ),
    ),
    max_leaves=5,
)


def test_the_engine_reads_what_is_accepted_as_the_same_values(dev: LocalStack, tmp_path: Path) -> None:
    fragments = [*BLOCKS, *(f"[{word}]" for word in WORDS), *WORDS, *_generated(600)]
    accepted = {f"v{index}": fragment for index, fragment in enumerate(fragments) if _reading(fragment, tmp_path)}
    assert len(accepted) > 150
    dev.prepare()
    lines = (f"  {NAMESPACE}:{key}: {fragment.rstrip(chr(10))}\n" for key, fragment in accepted.items())
    (dev.runner.project / "Pulumi.dev.yaml").write_text(f"config:\n{''.join(lines)}", encoding="utf-8", newline="")
    done = dev.pulumi("config", "--json", "--stack", "dev")
    assert done.returncode == 0, done.stderr
    engine = {key.removeprefix(f"{NAMESPACE}:"): entry["value"] for key, entry in json.loads(done.stdout).items()}
    differences = [
        f"{fragment!r}: {ours!r} here, {engine[key]!r} to the engine"
        for key, fragment in accepted.items()
        if _canonical(ours := _reading(fragment, tmp_path)[0]) != _as_handed_over(engine[key], ours)
    ]
    assert not differences, "\n".join(differences)


def _generated(count: int) -> list[str]:
    drawn: list[str] = []

    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(VALUES)
    def draw(fragment: str) -> None:
        drawn.append(fragment)

    draw()
    return drawn


def _reading(fragment: str, folder: Path) -> list[Any]:
    """What a settings file has at a key with that text; empty where it is refused."""
    path = folder / "Pulumi.fragment.yaml"
    path.write_text(f"config:\n  {NAMESPACE}:v: {fragment.rstrip(chr(10))}\n", encoding="utf-8", newline="")
    try:
        config = load_yaml(path, check=check_reading)["config"]
    except ProblemsError:
        return []
    return [config[f"{NAMESPACE}:v"]] if len(config) == 1 else []


def _as_handed_over(value: str, ours: Any) -> str:
    return _canonical(json.loads(value) if isinstance(ours, dict | list) else value)


def _canonical(value: Any) -> str:
    """As JSON: a number without a fraction is the same with and without a point."""
    return json.dumps(json.loads(json.dumps(value), parse_float=_number), sort_keys=True)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number

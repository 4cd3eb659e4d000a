"""Facts about engines are complete and hang together."""

import argparse

import pytest

from llm_serving import catalog
from llm_serving.catalog import Feature, FlagKind
from llm_serving.spec import EngineName, Quantization
from tools.engines import flags


@pytest.mark.parametrize("engine", list(EngineName))
def test_of_every_engine_it_is_known_what_it_can_do_and_why_not(engine):
    features = catalog.engine_features(engine)
    assert set(features) == set(Feature)
    for entry in features.values():
        assert entry.has == (entry.why == "")
        assert entry.source
        assert entry.date


def test_a_quantization_is_a_feature_under_its_own_name():
    assert {quantization.value for quantization in Quantization} - {"none"} <= {feature.value for feature in Feature}


def test_the_flags_of_vllm_and_sglang_are_recorded():
    assert [engine for engine in EngineName if catalog.engine_versions(engine)] == [EngineName.VLLM, EngineName.SGLANG]


@pytest.mark.parametrize("engine", [EngineName.VLLM, EngineName.SGLANG])
def test_flags_have_a_kind_and_a_source_and_other_names_lead_to_a_first_one(engine):
    for version in catalog.engine_versions(engine):
        flags = catalog.engine_flags(engine, version)
        assert len(flags) > 300
        for name, flag in flags.items():
            assert flag.flag == name
            assert flag.source
            assert flag.date
            assert flag.alias_of is None or flags[flag.alias_of].kind is flag.kind
            assert not flag.choices or flag.kind not in (FlagKind.SWITCH, FlagKind.PRESENCE)


@pytest.mark.parametrize("engine", [EngineName.VLLM, EngineName.SGLANG])
def test_what_decides_a_flag_is_said_of_flags_that_exist_and_of_all_their_names(engine):
    (version,) = catalog.engine_versions(engine)
    flags, settings = catalog.engine_flags(engine, version), catalog.engine_settings(engine)
    for name, entry in settings.items():
        assert name.partition(".")[0] in flags
        assert (entry.setting is None) != (entry.why is None)
    for name, flag in flags.items():
        if flag.alias_of is not None:
            assert (name in settings) == (flag.alias_of in settings), name


def test_a_gpu_with_kernels_for_a_quantization_is_of_use_to_some_engine_that_has_it():
    for quantization in (Quantization.AWQ, Quantization.GPTQ, Quantization.BITSANDBYTES):
        having = [e for e in EngineName if catalog.engine_features(e)[Feature(quantization.value)].has]
        assert having
        assert all(gpu.runs(quantization) for gpu in catalog.accelerators() if gpu.resource)


def test_an_unknown_engine_version_has_no_flags():
    assert catalog.engine_flags(EngineName.VLLM, "0.0.1") == {}
    assert catalog.engine_settings(EngineName.TRITON) == {}


def test_a_parsers_flags_are_read_with_what_follows_them(monkeypatch):
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--size", "--width", "-s", type=int, choices=[2, 1])
    parser.add_argument("--share", type=float)
    parser.add_argument("--fast", action=argparse.BooleanOptionalAction)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--names", nargs="+")
    monkeypatch.setitem(flags.PARSERS, "sglang", lambda: (parser, "here"))
    monkeypatch.setitem(flags.CHECKED_LATER, "sglang", dict)
    rows = [
        (row["flag"], row["kind"], row["alias_of"], row["choices"]) for row in flags.rows("sglang", "1.0.0", "today")
    ]
    assert rows == [
        ("fast", "switch", "", ""),
        ("names", "list", "", ""),
        ("quiet", "presence", "", ""),
        ("share", "number", "", ""),
        ("size", "integer", "", "1;2"),
        ("width", "integer", "size", "1;2"),
    ]


def test_bounds_are_read_from_what_an_engine_insists_on_and_not_from_what_depends_on_more():
    source = """
def check(cfg):
    assert cfg.step >= 1, "at least one"
    if cfg.rounds < 0:
        raise ValueError
    if cfg.seconds is not None and cfg.seconds <= 0:
        raise ValueError
    if not 0 < cfg.share <= 1:
        raise ValueError
    if cfg.fast is not None and cfg.copies > 1:
        raise ValueError
    if cfg.fast:
        assert cfg.size <= 8
    if cfg.interval < -1:
        cfg.interval = 0
"""
    bounds = {"step": ">=1", "rounds": ">=0", "seconds": ">0", "share": ">0;<=1"}
    assert flags.asserted_bounds(source) == bounds


def test_a_version_is_read_again_in_place_and_others_stay():
    row = dict.fromkeys(flags.COLUMNS, "") | {"engine": "vllm", "version": "1.0.0", "flag": "old", "kind": "text"}
    text = flags.merge("# comment\n" + ",".join(flags.COLUMNS) + "\n", [row, row | {"version": "0.9.0"}])
    again = flags.merge(text, [row | {"flag": "new"}])
    assert again.startswith("# comment\nengine,version")
    assert again.splitlines()[2:] == ["vllm,0.9.0,old,text,,,,,", "vllm,1.0.0,new,text,,,,,"]
    assert flags.merge(again, [row | {"flag": "new"}]) == again

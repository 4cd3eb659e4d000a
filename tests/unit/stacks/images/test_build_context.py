"""An image is built again when something that goes into it changes, and at no other time."""

import os
import stat

import pytest

from stacks.images import ImageError, build_context

DOCKERFILE = """\
# COPY not-this /x
ARG BASE=scratch
FROM ${BASE} AS made
ARG LOCK=one.txt
COPY code \\
     ${LOCK} /here/
FROM scratch
COPY --from=made /here /there
COPY --chown=1:1 code/main.py /
"""
SOURCES = ["code", "one.txt", "code/main.py"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "main.py").write_text("print(1)\n")
    (tmp_path / "code" / "deep" / "more.py").write_text("")
    (tmp_path / "one.txt").write_text("one\n")
    (tmp_path / "two.txt").write_text("two\n")
    return tmp_path


def test_sources_are_what_copy_lines_name_with_arguments_filled_in():
    assert build_context.sources_of(DOCKERFILE, {}) == SOURCES
    assert build_context.sources_of(DOCKERFILE, {"LOCK": "two.txt"}) == ["code", "two.txt", "code/main.py"]


def test_arguments_have_the_defaults_that_the_dockerfile_gives():
    text = 'ARG A=1\nARG B=${A}.2\nFROM scratch\nARG A\nARG C="x y"\nARG D\n'
    assert build_context.arguments_of(text) == {"A": "1", "B": "1.2", "C": "x y", "D": ""}


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "code" / "main.py").write_text("print(2)\n"),
        lambda root: (root / "code" / "deep" / "more.py").write_text("# more\n"),
        lambda root: (root / "code" / "deep" / "more.py").rename(root / "code" / "deep" / "other.py"),
        lambda root: (root / "code" / "new.py").write_text(""),
        lambda root: (root / "one.txt").chmod(0o755),
    ],
    ids=["content", "content of a file below", "name", "a new file", "run bit"],
)
def test_every_input_changes_the_fingerprint(root, change):
    before = build_context.fingerprint(root, SOURCES, "Dockerfile", "A=1")
    change(root)
    assert build_context.fingerprint(root, SOURCES, "Dockerfile", "A=1") != before


def test_comments_of_a_dockerfile_do_not_count():
    commented = DOCKERFILE.replace("FROM scratch\n", "# Another comment.\nFROM scratch\n")
    assert build_context.lines_of(commented) == build_context.lines_of(DOCKERFILE)
    assert build_context.lines_of(DOCKERFILE.replace("/there", "/elsewhere")) != build_context.lines_of(DOCKERFILE)
    assert build_context.lines_of(DOCKERFILE)[3] == "COPY code       ${LOCK} /here/"


@pytest.mark.parametrize("more", [("Dockerfile 2", "A=1"), ("Dockerfile", "A=2"), ("Dockerfile",), ("DockerfileA=1",)])
def test_dockerfile_and_arguments_change_the_fingerprint(root, more):
    assert build_context.fingerprint(root, SOURCES, *more) != build_context.fingerprint(
        root, SOURCES, "Dockerfile", "A=1"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "two.txt").write_text("not copied\n"),
        lambda root: os.utime(root / "one.txt", (1, 1)),
        lambda root: (root / "one.txt").chmod(0o600),
        lambda root: (root / "code" / "main.pyc").write_text("compiled"),
        lambda root: (root / "code" / "__pycache__").mkdir(),
    ],
    ids=["a file that is not copied", "age", "who may read", "compiled file", "Python's cache"],
)
def test_nothing_else_changes_the_fingerprint(root, change):
    before = build_context.fingerprint(root, SOURCES)
    change(root)
    assert build_context.fingerprint(root, SOURCES) == before


def test_a_context_holds_the_inputs_alone_readable_to_all_and_of_one_age(root, tmp_path):
    (root / "one.txt").chmod(0o600)
    (root / "code" / "main.py").chmod(0o700)
    (root / "code" / "main.pyc").write_text("compiled")
    build_context.stage(root, SOURCES, tmp_path / "context")
    staged = {str(path.relative_to(tmp_path / "context")): path for path in (tmp_path / "context").rglob("*")}
    assert set(staged) == {"code", "code/deep", "code/deep/more.py", "code/main.py", "one.txt"}
    assert stat.S_IMODE(staged["one.txt"].stat().st_mode) == 0o644
    assert stat.S_IMODE(staged["code/main.py"].stat().st_mode) == 0o755
    assert stat.S_IMODE(staged["code"].stat().st_mode) == 0o755
    assert len({path.stat().st_mtime for path in staged.values()}) == 1


@pytest.mark.parametrize(("sources", "message"), [(["gone.txt"], "is not there"), (["../x"], "leads out")])
def test_a_source_that_cannot_be_copied_is_refused_by_name(root, sources, message):
    with pytest.raises(ImageError, match=message) as refusal:
        build_context.fingerprint(root, sources)
    assert sources[0] in str(refusal.value)


def test_an_empty_folder_is_refused(root):
    (root / "empty").mkdir()
    with pytest.raises(ImageError, match="is empty"):
        build_context.files_of(root, ["empty"])

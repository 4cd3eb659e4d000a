"""What a build promises when it is killed, run twice at once, or fails."""

import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import Workshop, executable
from tools.bootstrap.downloads import Downloads
from tools.bootstrap.folders import Platform
from tools.bootstrap.install import Installer
from tools.bootstrap.progress import Progress, signals_held
from tools.bootstrap.recipes import GoBuild, ModuleFile, OverlaidGoBuild, Program
from tools.bootstrap.versions import Range

GOOD = """printf '#!/bin/sh\\necho tiny 1.2.3\\n' > "$out"; chmod +x "$out" """


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 30 s"
        time.sleep(0.02)


def _endless_go(workshop: Workshop) -> Path:
    """A Go that writes half a program and then builds on for ever."""
    return workshop.go_builds_by(f'echo half > "$out"; echo $$ > {workshop.folder}/pid; exec sleep 600')


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Its parent is gone, and nobody else may collect it: what is left then runs no longer.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return not state.stdout.strip().startswith("Z") and bool(state.stdout.strip())


def _pid(workshop: Workshop) -> int:
    path = workshop.folder / "pid"
    _wait_for(lambda: path.exists() and path.read_text().strip() != "")
    return int(path.read_text())


def test_built_tool_is_linked_where_consumers_look(workshop: Workshop) -> None:
    done = workshop.setup(workshop.go_builds_by(GOOD))

    assert done.returncode == 0, done.stdout
    assert "[1/1] tiny 1.2.3: building from Go modules, about 1 min on 2 cores" in done.stdout
    program = workshop.folders.view / "bin" / "tiny"
    assert subprocess.check_output([program], text=True) == "tiny 1.2.3\n"


def test_second_run_builds_nothing(workshop: Workshop) -> None:
    go = workshop.go_builds_by(GOOD)
    workshop.setup(go)
    again = workshop.setup(go)

    assert again.returncode == 0
    assert "building" not in again.stdout
    assert workshop.builds() == 1


def test_killed_build_leaves_no_complete_tool(workshop: Workshop) -> None:
    process = workshop.start(_endless_go(workshop))
    compiler = _pid(workshop)
    process.kill()
    process.communicate()
    os.kill(compiler, signal.SIGKILL)

    assert workshop.finished() == []
    assert len(workshop.unfinished()) == 1

    done = workshop.setup(workshop.go_builds_by(GOOD))

    assert done.returncode == 0, done.stdout
    assert len(workshop.finished()) == 1
    assert workshop.unfinished() == []


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_ended_set_up_ends_its_compiler_and_tidies_up(workshop: Workshop, sign: signal.Signals) -> None:
    process = workshop.start(_endless_go(workshop))
    compiler = _pid(workshop)
    process.send_signal(sign)
    process.communicate(timeout=30)

    assert process.returncode == 128 + sign
    _wait_for(lambda: not _is_alive(compiler))
    assert workshop.finished() == workshop.unfinished() == []


def test_a_signal_while_a_command_is_being_started_comes_once_the_command_is_known() -> None:
    events: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: events.append("signal"))
    try:
        with signals_held():
            signal.raise_signal(signal.SIGTERM)
            events.append("known")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert events == ["known", "signal"]


def test_two_set_ups_at_once_build_once(workshop: Workshop) -> None:
    go = workshop.go_builds_by(f"while [ ! -e {workshop.folder}/go-on ]; do sleep 0.05; done; {GOOD}")
    first = workshop.start(go)
    _wait_for(lambda: workshop.builds() == 1)
    second = workshop.start(go)
    assert second.stdout is not None
    waiting = second.stdout.readline()
    (workshop.folder / "go-on").touch()
    first.communicate(timeout=30)
    second.communicate(timeout=30)

    assert "another set-up is at it; waiting" in waiting
    assert (first.returncode, second.returncode) == (0, 0)
    assert workshop.builds() == 1


def test_failed_build_shows_the_end_of_its_log_and_where_it_is(workshop: Workshop) -> None:
    go = workshop.go_builds_by("for i in $(seq 100); do echo line $i; done; echo no space left; exit 1")
    done = workshop.setup(go)

    assert done.returncode == 1
    assert "tiny 1.2.3: the build failed (exit code 1)" in done.stdout
    assert "no space left" in done.stdout
    assert "line 81\n" not in done.stdout
    assert "line 82\n" in done.stdout
    assert str(workshop.folders.logs / "tiny-1.2.3.log") in done.stdout
    assert workshop.finished() == workshop.unfinished() == []


def test_new_pin_builds_anew_and_moves_the_link(workshop: Workshop) -> None:
    go = workshop.go_builds_by(GOOD)
    workshop.setup(go)
    workshop.pin("1.3.0")
    workshop.setup(go)

    assert workshop.builds() == 2
    assert "1.3.0-" in os.readlink(workshop.folders.view / "bin" / "tiny")


def test_go_that_is_too_old_is_named_with_the_one_that_is_needed(workshop: Workshop) -> None:
    workshop.pin("1.2.3", go="99.1.0")
    done = workshop.setup(workshop.go_builds_by(GOOD))

    assert done.returncode == 1
    assert "tiny 1.2.3 needs Go 99.1.0 or later" in done.stdout
    assert f"{workshop.folder}/go/go is 1.30.0" in done.stdout
    assert "https://go.dev/dl/" in done.stdout
    assert "put tiny >= 1.2.0, < 2.0.0 on PATH" in done.stdout


needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: a real build was not tried")


@needs_go
def test_program_of_the_wrapper_itself_is_built_anew_when_its_parts_change(workshop: Workshop) -> None:
    wrapper = workshop.go_mod.parent
    workshop.go_mod.write_text(
        "module wrapper\n\ngo 1.20\n\nrequire example.com/tiny v1.2.3\n\nreplace example.com/tiny => ./tiny\n"
    )
    (wrapper / "tiny").mkdir()
    (wrapper / "tiny" / "go.mod").write_text("module example.com/tiny\n\ngo 1.20\n")
    (wrapper / "tiny" / "say.go").write_text("package tiny\n\nfunc Say(part string) { println(part) }\n")
    recipe = Program(GoBuild("tiny", "tiny", "example.com/tiny", "."), Range((1, 2, 0), (2, 0, 0)))
    machine = Platform.current()
    using = Installer(
        workshop.folders, machine, "", Downloads(machine, offline=True), Progress(1, stream=io.StringIO())
    )

    printed: list[str] = []
    for part in ("cache", "forward"):
        (wrapper / "main.go").write_text(
            f'package main\n\nimport "example.com/tiny"\n\nfunc main() {{ tiny.Say("{part}") }}\n'
        )
        using.ensure(recipe)
        built = workshop.folders.view / "bin" / "tiny"
        printed.append(subprocess.run([built], capture_output=True, text=True, check=True).stderr)

    assert printed == ["cache\n", "forward\n"]


@needs_go
def test_program_embeds_files_of_a_module_in_which_ours_stands_in_for_another(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper, module = workshop.go_mod.parent, workshop.folder / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.com/tiny\n\ngo 1.20\n")
    (module / "say.go").write_text("package tiny\n\nfunc Say(schema string) { println(schema + Table()) }\n")
    (module / "table.go").write_text('package tiny\n\nfunc Table() string { return "all kinds" }\n')
    (module / "schema.json").write_text("schema with ")
    (wrapper / "main.go").write_text(
        'package main\n\nimport (\n\t_ "embed"\n\n\t"example.com/tiny"\n)\n\n'
        "//go:embed schema.json\nvar schema string\n\nfunc main() { tiny.Say(schema) }\n"
    )
    (wrapper / "table").mkdir()
    (wrapper / "table" / "table.go").write_text('package tiny\n\nfunc Table() string { return "no kinds" }\n')
    answer = json.dumps({"Dir": str(module)})
    script = f"[ \"$1\" = mod ] && {{ echo '{answer}'; exit; }}; exec '{shutil.which('go')}' \"$@\""
    monkeypatch.setenv("PATH", str(executable(workshop.folder / "go" / "go", script).parent), prepend=":")
    build = OverlaidGoBuild(
        "tiny",
        "tiny",
        "example.com/tiny",
        ".",
        embeds=(ModuleFile("tiny", "example.com/tiny", "schema.json"),),
        stand_in=(ModuleFile("tiny", "example.com/tiny", "table.go"), "table/table.go"),
    )
    machine = Platform.current()
    using = Installer(
        workshop.folders, machine, "", Downloads(machine, offline=True), Progress(1, stream=io.StringIO())
    )

    using.ensure(Program(build, Range((1, 2, 0), (2, 0, 0))))

    built = workshop.folders.view / "bin" / "tiny"
    assert subprocess.run([built], capture_output=True, text=True, check=True).stderr == "schema with no kinds\n"
    assert sorted(path.name for path in wrapper.iterdir()) == ["go.mod", "go.sum", "main.go", "table"]


@needs_go
def test_real_go_builds_a_pinned_module_with_its_version(workshop: Workshop) -> None:
    wrapper = workshop.go_mod.parent
    workshop.go_mod.write_text(
        "module wrapper\n\ngo 1.20\n\nrequire example.com/tiny v1.2.3\n\nreplace example.com/tiny => ./tiny\n"
    )
    (wrapper / "tiny").mkdir()
    (wrapper / "tiny" / "go.mod").write_text("module example.com/tiny\n\ngo 1.20\n")
    (wrapper / "tiny" / "main.go").write_text('package main\n\nfunc main() { println("tiny", "1.2.3") }\n')

    done = workshop.setup()

    assert done.returncode == 0, done.stdout
    answer = subprocess.run([workshop.folders.view / "bin" / "tiny"], capture_output=True, text=True, check=True)
    assert answer.stderr == "tiny 1.2.3\n"

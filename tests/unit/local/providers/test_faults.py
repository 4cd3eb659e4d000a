import subprocess
import sys
from pathlib import Path

import pytest

from llm_serving.errors import ProblemsError
from local.providers.faults import CRASH_STATUS, Fault, FaultPlan, InjectedFaultError
from local.state_folder import StateFolder

POOL = "gcp:container/nodePool:NodePool"


def plan(tmp_path: Path, text: str) -> FaultPlan:
    (tmp_path / "faults.yaml").write_text(text)
    return FaultPlan.of(StateFolder(tmp_path), {})


def test_the_chosen_call_fails_and_its_retry_passes(tmp_path: Path) -> None:
    faults = plan(tmp_path, f"- {{type: '{POOL}', operation: create, call: 2, fault: quota}}")
    drawn = [faults.draw(POOL, "gpu", "create") for _ in range(4)]
    assert drawn == [None, Fault("quota", after=False), None, None]


def test_calls_are_counted_over_processes(tmp_path: Path) -> None:
    text = f"- {{type: '{POOL}', operation: create, call: 3, fault: rate-limit, after: after}}"
    assert plan(tmp_path, text).draw(POOL, "gpu", "create") is None
    assert plan(tmp_path, text).draw(POOL, "gpu", "create") is None
    assert plan(tmp_path, text).draw(POOL, "gpu", "create") == Fault("rate-limit", after=True)


def test_type_name_and_operation_choose_what_is_hit(tmp_path: Path) -> None:
    faults = plan(tmp_path, "- {type: 'gcp:container/*', name: '*-spot', operation: delete, fault: timeout}")
    assert faults.draw(POOL, "l4-spot", "create") is None
    assert faults.draw(POOL, "l4", "delete") is None
    assert faults.draw("gcp:compute/network:Network", "l4-spot", "delete") is None
    assert faults.draw(POOL, "l4-spot", "delete") == Fault("timeout", after=False)


def test_a_name_that_no_resource_has_is_told_after_the_update_and_one_that_struck_is_not(tmp_path: Path) -> None:
    text = f"- {{type: '{POOL}', name: 'l5-*', operation: create, fault: quota}}"
    having = [(POOL, "l4-spot-3f3265"), ("gcp:compute/network:Network", "l5-net")]
    (problem,) = plan(tmp_path, text).missed(having)
    assert str(problem).startswith("faults.yaml[0].name = 'l5-*'")
    assert problem.suggestion == "l4-spot-3f3265"
    assert plan(tmp_path, text.replace("l5", "l4")).missed(having) == []
    # What it refused is not there, and its name was right.
    plan(tmp_path, text).draw(POOL, "l5-spot", "create")
    assert plan(tmp_path, text).missed(having) == []


def test_the_environment_names_a_plan(tmp_path: Path) -> None:
    named = tmp_path / "mine.yaml"
    named.write_text(f'[{{"type": "{POOL}", "operation": "read", "fault": "timeout"}}]')
    faults = FaultPlan.of(StateFolder(tmp_path), {"LLM_SERVING_FAULTS": str(named)})
    assert faults.draw(POOL, "gpu", "read") == Fault("timeout", after=False)


def test_no_plan_means_no_faults_and_no_files(tmp_path: Path) -> None:
    assert FaultPlan.of(StateFolder(tmp_path / "new"), {}).draw(POOL, "gpu", "create") is None
    assert not (tmp_path / "new").exists()


def test_a_plan_with_mistakes_names_all_of_them(tmp_path: Path) -> None:
    faults = plan(tmp_path, "- {typ: a, operation: creat, fault: quota, call: 0}\n- {}\n- no")
    with pytest.raises(ProblemsError) as caught:
        faults.draw(POOL, "gpu", "create")
    assert [problem.path for problem in caught.value.problems] == [
        "[0].type",
        "[0].operation",
        "[0].call",
        "[0].typ",
        "[1].type",
        "[1].operation",
        "[1].fault",
        "[2]",
    ]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("quota", "Error 403: Quota 'PREEMPTIBLE_NVIDIA_L4_GPUS' exceeded"),
        ("permission-denied", "Error 403: Required 'container.nodePools.create' permission"),
        ("rate-limit", "Error 429"),
        ("timeout", "context deadline exceeded"),
    ],
)
def test_messages_are_the_clouds_and_name_resource_and_way_out(kind: str, words: str) -> None:
    inputs = {"name": "l4", "nodeConfig": {"spot": True, "guestAccelerators": [{"type": "nvidia-l4", "count": 1}]}}
    with pytest.raises(InjectedFaultError) as fault:
        Fault(kind, after=False).strike("gcp", POOL, "gpu-pool", "create", inputs)
    message = str(fault.value)
    assert words in message
    assert "gpu-pool" in message
    assert message.rstrip().endswith(".")


def test_a_crash_takes_the_process_down_at_once() -> None:
    script = (
        "from local.providers.faults import Fault\n"
        "try:\n    Fault('crash', False).strike('gcp', 't', 'n', 'create', {})\nfinally:\n    print('cleaned up')"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == CRASH_STATUS
    assert process.stdout == ""

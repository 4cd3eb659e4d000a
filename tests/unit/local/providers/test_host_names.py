import subprocess
import sys
from pathlib import Path

from local.providers import host_names
from local.state_folder import StateFolder


def test_a_host_leads_to_its_control_plane_until_it_is_forgotten(tmp_path: Path) -> None:
    state_folder = StateFolder(tmp_path / "state")
    assert host_names.resolve("gke-1.goog", state_folder) is None
    host_names.register("gke-1.goog", tmp_path / "one", state_folder)
    host_names.register("10.0.0.2", tmp_path / "one", state_folder)
    assert host_names.resolve("gke-1.goog", state_folder) == tmp_path / "one"
    host_names.unregister(["gke-1.goog", "never-there"], state_folder)
    assert host_names.everything(state_folder) == {"10.0.0.2": str(tmp_path / "one")}


def test_names_registered_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from local.providers import host_names
from local.state_folder import StateFolder
for number in range(8):
    host_names.register(f"{sys.argv[2]}-{number}", Path("/x"), StateFolder(Path(sys.argv[1])))
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("a", "b", "c")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(host_names.everything(StateFolder(tmp_path))) == 24

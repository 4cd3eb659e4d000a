"""dev, staging and prod, each from nothing to nothing: preview, up, what is there, an empty preview, destroy.

One stack is brought up once for all of its tests: they run in the order in which they stand.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from local.stack_runner import up
from local.state_folder import REPOSITORY
from stacks.files import write_json
from tests.engine.local_stack import ENVIRONMENTS, LocalStack
from tests.engine.reviewed_plans import assert_reviewed

SECRET_WORDS = re.compile(r"(private_key|BEGIN [A-Z ]*PRIVATE KEY|client-key-data|password\"|ya29\.|\"token\"\s*:)")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path_factory.mktemp(request.param), request.param)
    yield stack
    stack.close()


def test_preview_plans_what_was_reviewed(stack: LocalStack) -> None:
    done, steps = stack.preview()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert_reviewed(stack.name, steps)


def test_up_brings_the_stack_up(stack: LocalStack) -> None:
    if stack.name == "dev":
        bring_up_by_the_commands_of_the_page(stack)
    else:
        done = stack.up()
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def bring_up_by_the_commands_of_the_page(stack: LocalStack) -> None:
    """Those of docs/cloud-account.md, word for word. Their preview is a test of its own."""
    stack.prepare()
    done = stack.shell("\n".join(page_commands("## 7. Up", "pulumi up", "pulumi stack output kubeconfig")))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    kubeconfig = yaml.safe_load((stack.runner.project / "kubeconfig-dev").read_text())
    assert [user["user"]["exec"]["command"] for user in kubeconfig["users"]] == ["gke-gcloud-auth-plugin"]


@pytest.mark.parametrize("stack", ["dev"], indirect=True)
def test_what_is_there_is_shown_by_the_commands_of_the_page(stack: LocalStack) -> None:
    """The kubeconfig of a real cluster is replaced: no program here proves to Google who one is."""
    write_json(stack.runner.project / "kubeconfig-dev", stack.cluster().kubeconfig())
    done = stack.shell("\n".join(page_commands("## 7. Up", "pulumi stack output --json")))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    (tunnel,) = page_commands("## 8. The first answer", "kubectl")
    found = re.search(r"--namespace (\S+) port-forward service/(\S+) \d+:(\d+)", tunnel)
    assert found
    namespace, name, port = found.groups()
    assert f"http://{name}.{namespace}.svc/v1" in done.stdout
    service = stack.kubernetes().get("v1", "Service", name, namespace)
    assert int(port) in [entry["port"] for entry in service["spec"]["ports"]]


def test_every_pod_runs_on_the_pool_that_the_settings_name(stack: LocalStack) -> None:
    kubernetes = stack.kubernetes()
    nodes = {node["metadata"]["name"]: node for node in kubernetes.list("v1", "Node")}
    deployments = kubernetes.list("apps/v1", "Deployment", labels="app.kubernetes.io/component=engine")
    assert deployments
    wanted = sum(deployment["spec"]["replicas"] for deployment in deployments)
    pods = stack.engine_pods()
    assert len(pods) == wanted
    for pod in pods:
        labels = pod["metadata"]["labels"]
        node = nodes[pod["spec"]["nodeName"]]
        assert node["metadata"]["labels"]["llm-serving.dev/pool"] == labels["llm-serving.dev/pool"]
        assert int(node["status"]["allocatable"]["nvidia.com/gpu"]) >= 1


def test_pod_security_admits_every_pod_and_refuses_what_is_not_restricted(stack: LocalStack) -> None:
    kubernetes = stack.kubernetes()
    namespaces = kubernetes.list("v1", "Namespace", labels="pod-security.kubernetes.io/enforce=restricted")
    teams = {pod["metadata"]["namespace"] for pod in kubernetes.list("v1", "Pod", labels="llm-serving.dev/model")}
    assert teams
    assert teams <= {namespace["metadata"]["name"] for namespace in namespaces}
    privileged = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged", "namespace": sorted(teams)[0]},
        "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(Exception, match="PodSecurity"):
        kubernetes.create(privileged, dry_run=True)


def test_a_second_preview_is_empty(stack: LocalStack) -> None:
    assert stack.changes() == []


def test_a_refresh_finds_no_drift(stack: LocalStack) -> None:
    done = stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", stack.name)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_no_secret_is_in_the_clear_in_state_or_outputs(stack: LocalStack) -> None:
    state = stack.pulumi("stack", "export", "--stack", stack.name).stdout
    token = stack.cluster().endpoint().token
    for text in (state, stack.pulumi("stack", "output", "--json", "--stack", stack.name).stdout):
        assert token not in text
        assert base64.b64encode(token.encode()).decode() not in text
        assert not SECRET_WORDS.search(text), SECRET_WORDS.search(text)


def test_a_second_up_says_that_nothing_changed_and_shows_each_pod_on_a_gpu_node(
    stack: LocalStack, capfd: pytest.CaptureFixture[str]
) -> None:
    stack.prepare()
    assert up(stack.runner, stack.name, []) == 0
    shown = capfd.readouterr().out
    assert "preview: nothing to change" in shown
    assert "Nothing to change" in shown
    assert str(stack.runner.state.log("up", stack.name)) in shown
    for pod in stack.engine_pods():
        assert pod["spec"]["nodeName"] in shown
    for word in ("Pools", "Nodes", "Models", "Cost an hour", "http://"):
        assert word in shown


def test_a_change_of_region_is_refused(stack: LocalStack) -> None:
    stack.change(lambda config: _move(config, "us-central1" if config["region"] != "us-central1" else "us-west1"))
    done, _ = stack.preview()
    stack.restore()
    assert done.returncode != 0
    message = done.stdout + done.stderr
    assert "llm-serving:region" in message
    assert "fixed for the life of a stack" in message


def test_destroy_leaves_nothing(stack: LocalStack) -> None:
    if stack.name == "prod":
        refused = stack.destroy()
        assert refused.returncode != 0
        assert "deletion" in (refused.stdout + refused.stderr).lower() or "protect" in refused.stdout.lower()
        stack.change(_allow_destroy)
        lifted = stack.up()
        assert lifted.returncode == 0, lifted.stdout[-4000:]
    done = stack.destroy()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert stack.resources() == []
    # Google Cloud never deletes key rings and keys, only the versions in them.
    assert [path for path in stack.records() if "gcp.kms." not in str(path)] == []
    assert list(stack.runner.state.clusters.glob("*/*/*")) == []


def page_commands(heading: str, *beginnings: str) -> list[str]:
    """The commands below a heading of docs/cloud-account.md that begin so, one for each."""
    section = (REPOSITORY / "docs/cloud-account.md").read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    commands = [line for line in lines if line.startswith(beginnings)]
    assert len(commands) == len(beginnings), commands
    return commands


def _move(config: dict[str, Any], region: str) -> None:
    config["region"] = region
    config["cluster"]["zones"] = [f"{region}-a", f"{region}-b", f"{region}-c"]


def _allow_destroy(config: dict[str, Any]) -> None:
    config["cluster"]["deletionProtection"] = False
    config.setdefault("modelCache", {})["forceDestroy"] = True

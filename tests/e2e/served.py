"""Stack ``local`` as a test sees it: the real engine, node and pods, in a folder to throw away."""

import http.client
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from llm_serving.metrics.engines import engine_metrics
from llm_serving.spec import EngineName
from local import endpoint
from local.cluster.rest import Kubernetes
from local.endpoint.serving_clusters import OwnNode
from local.stack_runner import StackRunner
from local.state_folder import REPOSITORY, StateFolder

MODEL, TEAM = "tiny-llama", "chat"
UP_SECONDS = 900
VLLM = engine_metrics(EngineName.VLLM)
QUESTION = [{"role": "user", "content": "Say something."}]


class Served:
    """The endpoint and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "settings"
        self.settings.mkdir()
        for file in ("Pulumi.yaml", "Pulumi.local.yaml"):
            shutil.copy(REPOSITORY / file, self.settings / file)
        self.runner = StackRunner(StateFolder(folder / "local"), self.settings)
        self.node = OwnNode(self.runner.state)
        self.built: dict[str, Any] = {}
        self._client: Kubernetes | None = None

    # what is asked for

    def open(self) -> None:
        """Cluster and images."""
        self._client = None  # the node may be started again
        opened = endpoint.open_endpoint(self.runner)
        self.runner = opened.runner
        self.built = dict(opened.runner.more_settings)

    def restart(self) -> None:
        """Stop the node and start it again."""
        self._client = None
        self.node.cluster.stop()
        assert not self.node.cluster.running()
        self.node.start()

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Edit the model's settings."""
        path = self.settings / "Pulumi.local.yaml"
        document = yaml.safe_load(path.read_text())
        edit(document["config"]["llm-serving:models"][0])
        path.write_text(yaml.safe_dump(document))

    def model(self) -> dict[str, Any]:
        """The model's settings."""
        document = yaml.safe_load((self.settings / "Pulumi.local.yaml").read_text())
        return document["config"]["llm-serving:models"][0]

    def settings_of_run(self, **more: Any) -> StackRunner:
        """The runner with other settings in place of those of the run."""
        added = {f"llm-serving:{key}": value for key, value in more.items()}
        return replace(self.runner, more_settings={**self.runner.more_settings, **added})

    # what the engine does

    def pulumi(self, *args: str, runner: StackRunner | None = None) -> subprocess.CompletedProcess[str]:
        runner = runner or self.runner
        runner.prepare(endpoint.STACK)
        runner.select(endpoint.STACK)
        return subprocess.run(
            runner.command(*args, "--stack", endpoint.STACK),
            env=runner.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )

    def up(self) -> str:
        """``pulumi up`` that must succeed; its output."""
        done = self.pulumi("up", "--yes", "--skip-preview")
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout

    def start_up(self) -> subprocess.Popen[str]:
        """``pulumi up`` beside the test; the caller waits for it."""
        self.runner.prepare(endpoint.STACK)
        return subprocess.Popen(
            self.runner.command("up", "--yes", "--skip-preview", "--stack", endpoint.STACK),
            env=self.runner.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    # what is there

    def kubernetes(self) -> Kubernetes:
        """One connection for all: those who wait ask it often, while engines need the cores."""
        if self._client is None:
            self._client = self.node.client()
        return self._client

    def base(self) -> str:
        """Address of the API from this machine."""
        service = self.kubernetes().get("v1", "Service", MODEL, TEAM)
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def pods(self) -> list[dict[str, Any]]:
        """The engine's pods that are not on their way out."""
        wanted = "app.kubernetes.io/component=engine"
        found = self.kubernetes().list("v1", "Pod", TEAM, labels=wanted)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[dict[str, Any]]:
        return [pod for pod in self.pods() if _ready(pod)]

    def ask(
        self, path: str, body: Mapping[str, Any] | None = None, *, base: str | None = None, timeout: float = 60
    ) -> Any:
        """A request to the API, as JSON."""
        with urllib.request.urlopen(_request((base or self.base()) + path, body), timeout=timeout) as answer:
            return json.load(answer)

    def text(self, url: str) -> str:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def from_node(self, url: str) -> str:
        """What the node reads at an address, as its kubelet does: policies keep all others from health checks. Empty
        where nobody answers."""
        program = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
        return self.node.cluster.exec_in_node([sys.executable, "-c", program]).stdout

    def chat(self, **options: Any) -> dict[str, Any]:
        """One chat completion."""
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": 16, **options}
        return self.ask("/v1/chat/completions", body)

    def answers(self) -> bool:
        """Whether a request through the Service is answered: some time passes until a pod that is ready is found."""
        try:
            return bool(self.chat()["choices"])
        except (OSError, http.client.HTTPException):
            return False

    def metric(self, pod: Mapping[str, Any], name: str) -> float:
        """The sum of a metric's series at a pod's engine."""
        lines = [line for line in self.text(f"{engine_of(pod)}/metrics").splitlines() if line.startswith(f"{name}{{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def stream(self, **options: Any) -> list[dict[str, Any]]:
        """The chunks of a streamed chat completion; fails where the stream does not end as it should."""
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": 16, "stream": True, **options}
        with urllib.request.urlopen(_request(f"{self.base()}/v1/chat/completions", body), timeout=60) as answer:
            events = [line[6:].strip() for line in answer.read().decode().splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        return [json.loads(event) for event in events[:-1]]

    def close(self) -> None:
        """Remove the cluster and everything of it."""
        self.node.cluster.delete()


def engine_of(pod: Mapping[str, Any]) -> str:
    """Address of a pod's engine, past the Service."""
    return f"http://{pod['status']['podIP']}:8000"


def _request(url: str, body: Mapping[str, Any] | None) -> urllib.request.Request:
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.Request(url, data, {"Content-Type": "application/json"})


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)

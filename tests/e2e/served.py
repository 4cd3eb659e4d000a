"""Stack ``local`` as a test sees it: the node of the run, and what the stack puts on it."""

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
from llm_serving.metrics.workload import ReleaseWorkload
from llm_serving.spec import EngineName
from local import endpoint
from local.cluster.rest import Kubernetes
from local.endpoint.serving_clusters import OwnNode
from local.images import BuiltImage, LocalImages
from local.stack_runner import StackRunner
from local.state_folder import REPOSITORY, StateFolder

MODEL, TEAM = "tiny-llama", "chat"
GATEWAY = "llm-serving:gateway"
EMBEDDER = "tiny-llama-embed"
UP_SECONDS = 900
STAND_IN_STALL_SECONDS = 15
"""Of the stand-in, whose steps go on whenever somebody reads its metrics."""
VLLM = engine_metrics(EngineName.VLLM)
ONE_PLACE: dict[str, Any] = {
    "releases": {"stable": "1.2.0"},
    "engine": {"maxSequences": 1, "maxQueuedRequests": 8},
    "drain": {"preStopSeconds": 1, "shutdownTimeoutSeconds": 4},
}
"""Settings of an instance with one place, eight places in its queue, and little time to go. Its release answers at any
length that clients ask for, and has other weights than the one before."""
QUESTION = [{"role": "user", "content": "Say something."}]


class Served:
    """The endpoint and everything around it.

    Args:
        node: where it is served; it runs.
        state: the state folder that the node lies in.
        folder: for the stack's settings.
    """

    def __init__(self, node: OwnNode, state: StateFolder, folder: Path) -> None:
        self.settings = folder
        self.runner = StackRunner(state, self.settings)
        self.node = node
        self.built: dict[str, Any] = {}
        self._client: Kubernetes | None = None
        self.restore()

    # what is asked for

    def open(self) -> None:
        """Make the images be there, and read what the node adds to the settings."""
        opened = endpoint.open_endpoint(self.runner)
        self.runner = opened.runner
        self.built = dict(opened.runner.more_settings)

    def restore(self) -> None:
        """The settings as they are committed, without the gateway: engines are asked themselves."""
        for file in ("Pulumi.yaml", "Pulumi.local.yaml"):
            shutil.copy(REPOSITORY / file, self.settings / file)
        self.change_gateway(None)

    def change_gateway(self, gateway: Mapping[str, Any] | None) -> None:
        """Set the gateway's settings, or leave it out."""
        path = self.settings / "Pulumi.local.yaml"
        document = yaml.safe_load(path.read_text())
        document["config"].pop(GATEWAY, None)
        if gateway is not None:
            document["config"][GATEWAY] = dict(gateway)
        path.write_text(yaml.safe_dump(document))

    @staticmethod
    def committed_gateway() -> dict[str, Any]:
        """The gateway's settings as they are committed."""
        document = yaml.safe_load((REPOSITORY / "Pulumi.local.yaml").read_text())
        return document["config"][GATEWAY]

    def replace_engine(self, image: BuiltImage) -> None:
        """Serve with an image that has the interface of the engine's own, from the next ``up`` on."""
        node_images = self.node.images()
        if image.reference not in node_images:
            archive = LocalImages().archive(image, known_images=set(node_images.values()))
            try:
                self.node.load_image(image, archive)
            finally:
                archive.unlink(missing_ok=True)
        repository, _, tag = image.reference.rpartition(":")
        path = self.settings / "Pulumi.local.yaml"
        document = yaml.safe_load(path.read_text())
        document["config"]["llm-serving:engineImages"] = {"vllm": {"repository": repository, "tag": tag}}
        path.write_text(yaml.safe_dump(document))
        self.open()

    def restart(self) -> None:
        """Stop the node and start it again."""
        self._client = None
        self.node.cluster.stop()
        assert not self.node.cluster.running()
        self.node.start()

    def change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Edit the model's settings."""
        self.change_models(lambda models: edit(models[0]))

    def change_models(self, edit: Callable[[list[dict[str, Any]]], object]) -> None:
        """Edit the settings of all models."""
        path = self.settings / "Pulumi.local.yaml"
        document = yaml.safe_load(path.read_text())
        edit(document["config"]["llm-serving:models"])
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

    def scale(self, replicas: int) -> None:
        """Ask for a number of instances as an autoscaler does: the settings know nothing of it."""
        kubernetes = self.kubernetes()
        release = self.model()["releases"]["stable"]
        deployment = kubernetes.get("apps/v1", "Deployment", f"{MODEL}-{release.replace('.', '-')}", TEAM)
        kubernetes.patch(deployment, {"spec": {"replicas": replicas}}, "scale")

    # what is there

    def kubernetes(self) -> Kubernetes:
        """One connection for all: those who wait ask it often, while engines need the cores."""
        if self._client is None:
            self._client = self.node.client()
        return self._client

    def base(self, model: str = MODEL) -> str:
        """Address of a model's API from this machine."""
        service = self.kubernetes().get("v1", "Service", model, TEAM)
        return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def pods(self, *, ending: bool = False, model: str = MODEL) -> list[dict[str, Any]]:
        """A model's pods; those on their way out too where ``ending`` is asked for."""
        labels = f"app.kubernetes.io/component=engine,llm-serving.dev/model={model}"
        pods = self.kubernetes().list("v1", "Pod", TEAM, labels=labels)
        return [pod for pod in pods if ending or "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[dict[str, Any]]:
        return [pod for pod in self.pods() if is_ready(pod)]

    def ask(
        self, path: str, body: Mapping[str, Any] | None = None, *, base: str | None = None, timeout: float = 60
    ) -> Any:
        """A request to the API, as JSON."""
        with urllib.request.urlopen(_request((base or self.base()) + path, body), timeout=timeout) as answer:
            return json.load(answer)

    def text(self, url: str) -> str:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def from_node(self, url: str, method: str = "GET") -> str:
        """What the node reads at an address, as its kubelet does: policies keep all others from health checks. Empty
        where nobody answers."""
        request = f"urllib.request.Request({url!r}, method={method!r})"
        program = f"import urllib.request; print(urllib.request.urlopen({request}, timeout=10).read().decode())"
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
        return sum_of(self.text(f"{engine_of(pod)}/metrics"), name)

    def stream(self, **options: Any) -> list[dict[str, Any]]:
        """The chunks of a streamed chat completion; fails where the stream does not end as it should."""
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": 16, "stream": True, **options}
        with urllib.request.urlopen(_request(f"{self.base()}/v1/chat/completions", body), timeout=60) as answer:
            events = [line[6:].strip() for line in answer.read().decode().splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        return [json.loads(event) for event in events[:-1]]


def sum_of(exposition: str, name: str) -> float:
    """The sum of a metric's series in Prometheus' text format."""
    lines = [line for line in exposition.splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def engine_of(pod: Mapping[str, Any]) -> str:
    """Address of a pod's engine, past the Service."""
    return f"http://{pod['status']['podIP']}:8000"


def release_workload(served: Served) -> ReleaseWorkload:
    """What an autoscaler would scale: the release that is ready."""
    release = served.ready_pods()[0]["metadata"]["labels"]["llm-serving.dev/release"]
    return ReleaseWorkload(TEAM, f"{MODEL}-{release.replace('.', '-')}", MODEL, release)


def _request(url: str, body: Mapping[str, Any] | None) -> urllib.request.Request:
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.Request(url, data, {"Content-Type": "application/json"})


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

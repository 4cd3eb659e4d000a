"""Interface of an inference engine's adapter, and what all adapters share."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llm_serving import catalog
from llm_serving.catalog import Feature
from llm_serving.planning.placement import ModelPlan
from llm_serving.spec import EngineName, EngineSpec, ReleaseSpec

ADAPTERS = ".adapters"
"""Folder below the weights that holds a release's LoRA adapters, each in a folder of its own name. Hidden, so that it
is none of the model's own files."""

LEADER_ADDRESS = "$(LWS_LEADER_ADDRESS)"
WORKER_INDEX = "$(LWS_WORKER_INDEX)"
"""Kubernetes puts the variables of a container in for ``$(NAME)`` in its command; LeaderWorkerSet sets these two in
every container of a group (its documentation, "Labels, annotations and environment variables"). The leader's is 0."""


@dataclass(frozen=True)
class EngineRequest:
    """What an inference engine is started with.

    Attributes:
        plan: parallelism, lengths, shares of memory.
        release: quantization, sampling defaults, parsers, adapters; its name is the name under which clients ask.
        options: options of the engine that the stack sets.
        weights: folder of the weights in the container.
        chat_template: file in the container that replaces the model's own template.
    """

    plan: ModelPlan
    release: ReleaseSpec
    options: EngineSpec
    weights: str
    chat_template: str | None = None


@dataclass(frozen=True)
class GroupCommand:
    """Command lines of an instance that spans several nodes.

    Attributes:
        leader: of the pod with index 0, which answers requests.
        worker: of every other pod; they answer none, health checks included.
        ports: TCP ports of the leader at which the others meet it. Beside them all pods of a group take free ports.
    """

    leader: list[str]
    worker: list[str]
    ports: tuple[int, ...]


class InferenceEngine(ABC):
    """One inference engine: command line, ports, health and metrics. It decides nothing: every number
    comes from the plan, the release or the stack.

    Attributes:
        name: name in releases.
        publisher: repository of the publisher's own image; its tag or digest is the release's.
        port: TCP port of the OpenAI-compatible API, of health and of metrics.
        health_path: answers 200 while the engine can serve.
        metrics_path: Prometheus exposition.
        environment_prefix: prefix of the environment variables that the engine reads.
        scratch_gib: disk that an instance may fill under ``/tmp``: compile caches, logs.
        lists_its_model: ``/v1/models`` has the name under which clients ask.
        files_folder: folder of what :meth:`files` gives; ``None`` where there is none.
    """

    name: EngineName
    publisher: str
    port: int
    health_path: str
    metrics_path: str
    environment_prefix: str
    scratch_gib: int
    lists_its_model: bool = True
    files_folder: str | None = None

    @property
    def features(self) -> frozenset[Feature]:
        """Its features (catalog, ``engine_features.csv``). Rules refuse a setting that needs another one."""
        return frozenset(feature for feature, entry in catalog.engine_features(self.name).items() if entry.has)

    @abstractmethod
    def command(self, request: EngineRequest) -> list[str]:
        """The command line of an instance on one node, without the shutdown timeout."""

    def group_command(self, request: EngineRequest) -> GroupCommand:
        """The command lines of an instance on ``request.plan.nodes`` nodes, without the shutdown timeout.

        Raises:
            NotImplementedError: the engine runs on one node; a rule refuses it before.
        """
        raise NotImplementedError(f"{self.name} runs on one node")

    @abstractmethod
    def shutdown_argument(self, seconds: int) -> str | None:
        """The argument that lets running requests finish after SIGTERM, ``None`` where the engine has none. It depends
        on the pool, which may be known only while resources are created."""

    @abstractmethod
    def environment(self, plan: ModelPlan) -> Mapping[str, str]:
        """Environment variables of the container.

        Args:
            plan: sizes that the engine reads from its environment.
        """

    def files(self, request: EngineRequest) -> Mapping[str, str]:
        """Files that the engine needs in :attr:`files_folder` when it starts: path below it, and text. The last parts
        of the paths differ, and are valid keys of a ConfigMap."""
        return {}


def user_flags(options: EngineSpec) -> Iterator[str]:
    """``options.flags`` as command line arguments. Rules have checked names and values."""
    for name, value in sorted(options.flags.items()):
        if value is True:
            yield f"--{name}"
        elif value is False:
            first, dot, key = name.partition(".")
            yield f"--no-{name}" if not dot else f"--{first}.{key}=false"
        else:
            yield f"--{name}={integral(value) if isinstance(value, float) else value}"


def adapter_folder(weights: str, name: str) -> str:
    """Folder of a LoRA adapter beside the weights that it changes."""
    return f"{weights}/{ADAPTERS}/{name}"


def sampling_json(release: ReleaseSpec) -> str:
    """The release's sampling defaults as JSON."""
    return json.dumps({key: integral(value) for key, value in sorted(release.sampling.items())})


def media_json(options: EngineSpec) -> str:
    """The limits of pictures, videos and sound as JSON."""
    return json.dumps(dict(sorted(options.media_per_prompt.items())))


def integral(value: float) -> float | int:
    """Whole numbers as such: ``top_k`` must be one, and the plugin protocol sends 20.0."""
    return int(value) if value.is_integer() else value

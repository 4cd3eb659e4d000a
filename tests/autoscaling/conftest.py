"""A cluster with KEDA, Prometheus and simulated GPU nodes for the tests of this folder. Where the programs are not
there, the run ends as one that did not pass.
"""

import uuid
from urllib.parse import urlsplit

import pytest

from llm_serving.metrics.engines import engine_metrics
from llm_serving.spec import EngineName
from local.cluster import AutoscalingOptions, LocalCluster, NodePool
from local.cluster.autoscaling import programs as autoscaling
from local.cluster.layout import missing_programs
from tests.autoscaling.clock import SYNC_SECONDS
from tests.autoscaling.door import Door
from tests.autoscaling.engines import Engines
from tests.autoscaling.scene import Scene
from tests.engine.cluster.fixtures import api, namespace  # noqa: F401 (fixtures)


def pytest_sessionstart(session):
    """Before there are several processes, of which none could tell why it ends."""
    if not hasattr(session.config, "workerinput") and not session.config.option.setupplan:
        end_without_programs()


@pytest.fixture(scope="session")
def programs():
    """The programs. Without them nothing here has been tested."""
    end_without_programs()


def end_without_programs():
    """Ends the tier, as not passed, on a machine without its programs."""
    missing = [*missing_programs(), *autoscaling.missing()]
    if missing:
        reason = f"for want of {', '.join(missing)}: run `make setup-autoscaling`"
        pytest.exit(f"the autoscaling tier did NOT run, {reason}", returncode=3)  # a skipped tier has not passed


@pytest.fixture(scope="session")
def engines(programs):
    """What Prometheus scrapes of the releases."""
    made = Engines(engine_metrics(EngineName.VLLM))
    yield made
    made.close()


@pytest.fixture(scope="session")
def cluster(programs, engines, tmp_path_factory):
    """A running cluster on which everything is 15 times as fast; see ``clock``."""
    made = LocalCluster(tmp_path_factory.mktemp("autoscaling") / "c")
    job = {"job_name": "engines", "honor_labels": True, "static_configs": [{"targets": [engines.address]}]}
    try:
        made.create(
            scale_down_seconds=600,
            autoscaling=AutoscalingOptions(scrape=(job,), scrape_seconds=1, sync_seconds=SYNC_SECONDS),
        )
        yield made
    finally:
        made.delete()


@pytest.fixture
def door(cluster):
    """The way to Prometheus, which a test may close."""
    address = urlsplit(cluster.prometheus())
    made = Door(address.hostname, address.port)
    yield made
    made.close()


@pytest.fixture
def pool(cluster):
    """Makes a pool of nodes with one GPU each, and removes it in the end."""
    names = []

    def make(most=20, name=None):
        name = name or f"gpu-{uuid.uuid4().hex[:6]}"
        resources = {"cpu": "8", "memory": "32Gi", "pods": "110", "nvidia.com/gpu": "1"}
        cluster.put_pool(
            NodePool(
                name=name,
                min=most,
                max=most,
                capacity=resources,
                allocatable=resources,
                zones=("europe-west4-a",),
                labels={"llm-serving.dev/pool": name},
                taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},),
            )
        )
        names.append(name)
        cluster.wait_pool(name)
        return name

    yield make
    for name in dict.fromkeys(names):
        cluster.delete_pool(name)


@pytest.fixture
def scene(cluster, api, engines, door, namespace, pool):  # noqa: F811 (fixtures)
    """Makes the release of a test: ``scene(nodes=20, **load)``."""
    made = []

    def make(nodes=20, **load):
        made.append(Scene(api, engines, door.url, namespace, pool(nodes), **load))
        return made[-1]

    yield make
    for each in made:
        each.end()
        # Before the namespace, so that KEDA still finds what it has to let go of.
        each.api.delete(each.scaled_object(max=1))

"""How Spot nodes end: what the local cloud refuses, as GKE does."""

from pathlib import Path
from typing import Any

import pytest

from local.providers.gcp.cloud import GoogleError
from local.providers.gcp.node_pool import refuse_early_shutdown
from local.providers.properties import UNKNOWN
from tests.unit.local.providers.engine import RefusedError
from tests.unit.local.providers.gcp.google import POOL, run

LONG = {"shutdownGracePeriodSeconds": 120, "shutdownGracePeriodCriticalPodsSeconds": 15}


def pool(kubelet: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"cluster": "c", "nodeConfig": {"spot": True, **config, "kubeletConfig": kubelet}}


@pytest.mark.parametrize(
    ("kubelet", "config", "words"),
    [
        ({"shutdownGracePeriodSeconds": 60}, {}, "(try: 0, 30, 120)"),
        ({"shutdownGracePeriodCriticalPodsSeconds": 15}, {}, "needs shutdownGracePeriodSeconds"),
        ({**LONG, "shutdownGracePeriodCriticalPodsSeconds": 120}, {}, "not less than shutdownGracePeriodSeconds"),
        (LONG, {"spot": False}, "can only be used with Spot VMs"),
    ],
)
def test_what_gke_does_not_allow_is_refused(
    tmp_path: Path, kubelet: dict[str, Any], config: dict[str, Any], words: str
) -> None:
    with run(tmp_path) as engine, pytest.raises(RefusedError) as caught:
        engine.check(POOL, "p", pool(kubelet, **config))
    assert words in str(caught.value)


@pytest.mark.parametrize("config", [{}, {"spot": UNKNOWN}, {"spot": False, "preemptible": True}])
def test_what_gke_allows_passes(tmp_path: Path, config: dict[str, Any]) -> None:
    with run(tmp_path) as engine:
        assert engine.check(POOL, "p", pool(LONG, **config))["nodeConfig"]["kubeletConfig"] == LONG


def test_an_older_control_plane_does_not_know_it() -> None:
    config = {"kubeletConfig": LONG}
    with pytest.raises(GoogleError, match=r"1\.35\.0-gke\.1171000"):
        refuse_early_shutdown(config, "1.34.1-gke.3355000")
    refuse_early_shutdown(config, "1.35.0-gke.1795000")
    refuse_early_shutdown({"kubeletConfig": {"insecureKubeletReadonlyPortEnabled": "FALSE"}}, "1.32.9-gke.1726000")

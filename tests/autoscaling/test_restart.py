"""A cluster with autoscaling survives its restart."""

from tests.autoscaling.scene import GUARD_SECONDS
from tests.engine.cluster.helpers import eventually


def test_a_restarted_cluster_goes_on_scaling(scene, cluster):
    release = scene(slots=1)
    release.deploy()
    release.scale(max=4, queue_depth=10, gpu_utilization=None)
    cluster.stop()
    assert not cluster.running()
    cluster.start()
    cluster.start()  # a second time changes nothing
    assert all(program.ready for program in cluster.programs().values())
    back = release.trace.now()

    eventually(lambda: any(moment.ready == 1 for moment in release.trace.moments(back)), GUARD_SECONDS)
    release.load.requests = 20
    release.eventually_has(replicas=2)

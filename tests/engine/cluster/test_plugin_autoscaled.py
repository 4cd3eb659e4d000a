"""A Deployment under an autoscaler: the program says no number, and the autoscaler's stays.

The autoscaler is the real one of the controller manager. It brings a number of replicas between its bounds before it
asks for any metric, so it needs none here.
"""

import threading

import pytest

from local.providers.provider import Autoname, CloudError
from tests.engine.cluster.helpers import deployment, eventually
from tests.engine.cluster.test_plugin import DEPLOYMENT, resource, up

IGNORED = ("spec.replicas",)
FORCE = {"pulumi.com/patchForce": "true"}


def scaled(namespace, image="x", replicas=None, **metadata):
    """Inputs of the Deployment; without ``replicas`` as a program gives them under an autoscaler."""
    inputs = deployment(namespace, container={"image": image}, **metadata)
    inputs["spec"].pop("replicas")
    if replicas is not None:
        inputs["spec"]["replicas"] = replicas
    return inputs


@pytest.fixture
def web(plugin, api, pool, namespace):
    """A Deployment's life with the plugin: inputs and outputs as the engine keeps them."""
    pool(f"{namespace}-cpu", gpus=0, min=1, max=1)

    class Web:
        what = resource(DEPLOYMENT)
        ignored = IGNORED
        told = staticmethod(print)

        def create(self, inputs, timeout=60):
            self.inputs, created = up(plugin, DEPLOYMENT, inputs, timeout=timeout)
            self.id, self.outputs = created.id, created.outputs

        def checked(self, inputs):
            """The inputs as the engine hands them on: an ignored path has its old value."""
            checked_inputs = {**inputs, "spec": dict(inputs["spec"])}
            if self.ignored:
                checked_inputs["spec"].pop("replicas", None)
                if "replicas" in self.inputs["spec"]:
                    checked_inputs["spec"]["replicas"] = self.inputs["spec"]["replicas"]
            return plugin.check(self.what, checked_inputs, self.inputs, Autoname()).inputs

        def differs(self, inputs):
            checked_inputs = self.checked(inputs)
            return set(plugin.diff(self.what, self.id, self.inputs, self.outputs, checked_inputs, self.ignored).changes)

        def preview(self, inputs):
            checked_inputs = self.checked(inputs)
            return plugin.update(self.what, self.id, self.inputs, self.outputs, checked_inputs, 60, True, self.ignored)

        def update(self, inputs):
            checked_inputs = self.checked(inputs)
            self.outputs = plugin.update(
                self.what, self.id, self.inputs, self.outputs, checked_inputs, 60, False, self.ignored
            )
            self.inputs = checked_inputs

        def refresh(self):
            read = plugin.read(self.what, self.id, self.inputs, self.outputs)
            changed = plugin.diff(self.what, self.id, read.inputs, read.outputs, self.inputs, self.ignored).changes
            self.inputs, self.outputs = read.inputs, read.outputs
            return set(changed)

        @property
        def live(self):
            return api.get("apps/v1", "Deployment", "web", namespace)

        @property
        def replicas(self):
            return self.live["spec"]["replicas"]

        @property
        def owners(self):
            """The managers that own the number."""
            entries = self.live["metadata"]["managedFields"]
            return {e["manager"] for e in entries if "f:replicas" in e["fieldsV1"].get("f:spec", {})}

        @property
        def image(self):
            return self.live["spec"]["template"]["spec"]["containers"][0]["image"]

    made = Web()
    plugin.engine.status = lambda message, urn: made.told(message)
    return made


@pytest.fixture
def autoscale(api, namespace):
    """Lets the autoscaler of the controller manager bring the Deployment to a number."""

    def make(replicas):
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        bounds = {"minReplicas": replicas, "maxReplicas": replicas, "scaleTargetRef": target}
        meta = {"name": "web", "namespace": namespace}
        api.apply(
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": bounds},
            force=True,
        )
        eventually(lambda: api.get("apps/v1", "Deployment", "web", namespace)["spec"]["replicas"] == replicas)

    return make


def test_turning_autoscaling_on_keeps_the_number_that_there_is(web, namespace, autoscale):
    web.ignored = ()
    web.create(scaled(namespace, replicas=4))
    web.ignored = IGNORED
    web.update(scaled(namespace, labels={"autoscaled": "yes"}))
    assert web.replicas == 4
    web.update(scaled(namespace, image="y"))
    assert (web.replicas, web.image) == (4, "y")
    autoscale(7)
    assert web.preview(scaled(namespace, image="z"))["spec"]["replicas"] == 7
    web.update(scaled(namespace, image="z"))
    assert (web.replicas, web.image) == (7, "z")
    assert web.owners == {"kube-controller-manager"}
    assert web.outputs["status"]["availableReplicas"] == 7
    autoscale(2)
    web.update(scaled(namespace, image="w"))
    assert (web.replicas, web.image) == (2, "w")


def test_the_autoscalers_number_is_no_drift(web, namespace, autoscale):
    web.ignored = ()
    web.create(scaled(namespace, replicas=4))
    web.ignored = IGNORED
    web.update(scaled(namespace))
    autoscale(7)
    eventually(lambda: web.live["status"].get("availableReplicas") == 7)
    assert not web.differs(scaled(namespace))
    assert not web.refresh()
    assert not web.differs(scaled(namespace))
    web.update(scaled(namespace, image="y"))
    assert (web.replicas, web.image) == (7, "y")


def test_a_deployment_without_a_number_starts_with_one_and_takes_the_autoscalers(web, namespace, autoscale):
    web.create(scaled(namespace))
    assert web.replicas == 1
    autoscale(3)
    web.update(scaled(namespace, image="y"))
    assert (web.replicas, web.image) == (3, "y")
    assert not web.refresh()
    assert not web.differs(scaled(namespace, image="y"))


def test_turning_autoscaling_off_sets_the_programs_number(web, api, namespace, autoscale):
    web.create(scaled(namespace))
    autoscale(3)
    web.update(scaled(namespace, image="y"))  # nobody owned the number: the provider does now
    autoscale(5)  # and now the autoscaler
    meta = {"name": "web", "namespace": namespace}
    api.delete({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta})
    web.ignored = ()
    with pytest.raises(CloudError, match=r"'kube-controller-manager' owns \.spec\.replicas.*patchForce"):
        web.update(scaled(namespace, image="y", replicas=2))
    web.update(scaled(namespace, image="y", replicas=2, annotations=FORCE))
    assert web.replicas == 2
    # And on again.
    web.ignored = IGNORED
    assert web.differs(scaled(namespace, image="y"))
    web.update(scaled(namespace, image="y"))
    assert web.replicas == 2


def test_a_wait_goes_by_the_number_that_the_autoscaler_wants_meanwhile(web, api, namespace, autoscale):
    wide = scaled(namespace, replicas=3)
    (container,) = wide["spec"]["template"]["spec"]["containers"]
    container["resources"] = {"requests": {"cpu": "3"}}  # two of three fit the only node
    wide["spec"]["template"]["spec"]["nodeSelector"] = {"llm-serving.dev/pool": f"{namespace}-cpu"}
    lines = []
    web.told = lines.append

    def shrink():
        eventually(lambda: any("2 of 3 replicas are available" in line for line in lines))
        autoscale(2)

    shrinking = threading.Thread(target=shrink)
    shrinking.start()
    web.create(wide)
    shrinking.join()
    assert web.outputs["spec"]["replicas"] == web.outputs["status"]["availableReplicas"] == 2

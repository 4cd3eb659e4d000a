"""The recording monitor itself: what it would hide, no test would find."""

import pulumi
import pulumi_gcp as gcp
import pytest

from tests.unit.recording import UNKNOWN, record


class Pair(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Pair", name, None, opts)
        self.network = gcp.compute.Network(
            f"{name}-network",
            description=pulumi.Output.secret("classified"),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=True,
                ignore_changes=["description"],
                custom_timeouts=pulumi.CustomTimeouts(create="5m"),
                retain_on_delete=True,
                delete_before_replace=True,
                aliases=[pulumi.Alias(name="formerly")],
                additional_secret_outputs=["selfLink"],
            ),
        )
        self.subnet = gcp.compute.Subnetwork(
            f"{name}-subnet", network=self.network.id, opts=pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({"link": self.network.self_link, "note": self.network.description})


def test_options_are_recorded() -> None:
    network = record(lambda: Pair("pair")).one("gcp:compute/network:Network")
    assert network.protect
    assert network.retain_on_delete
    assert network.delete_before_replace
    assert network.ignore_changes == ("description",)
    assert network.custom_timeouts == {"create": "5m"}
    assert network.additional_secret_outputs == ("selfLink",)
    assert [alias["spec"]["name"] for alias in network.aliases] == ["formerly"]


def test_urns_are_those_of_the_engine() -> None:
    recording = record(lambda: Pair("pair"), project="project", stack="dev")
    assert recording.one("Network").urn == (
        "urn:pulumi:dev::project::test:index:Pair$gcp:compute/network:Network::pair-network"
    )


def test_dependencies_are_recorded_by_property() -> None:
    recording = record(lambda: Pair("pair"))
    network, subnet = recording.one("Network"), recording.one("Subnetwork")
    assert subnet.property_dependencies["network"] == (network.urn,)
    assert recording.depends_on(subnet, network)
    assert not recording.depends_on(network, subnet)


def test_secrets_are_told_apart() -> None:
    recording = record(lambda: Pair("pair"))
    assert recording.one("Network")["description"] == "classified"
    assert recording.secret_paths == {"gcp:compute/network:Network pair-network: description"}
    assert recording.secret_outputs[recording.urn_of(recording.result)] == {"note"}


def test_children_are_found() -> None:
    recording = record(lambda: Pair("pair"))
    assert [child.name for child in recording.children()] == ["pair-network", "pair-subnet"]


def test_a_preview_knows_no_ids() -> None:
    recording = record(lambda: Pair("pair"), preview=True)
    assert recording.one("Subnetwork")["network"] is UNKNOWN
    assert recording.output("link") is UNKNOWN


def test_a_urn_that_is_taken_is_refused() -> None:
    with pytest.raises(AssertionError, match="two resources have the URN"):
        record(lambda: [gcp.compute.Network("twice"), gcp.compute.Network("twice")])


def test_what_the_program_raises_arrives() -> None:
    def program() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        record(program)


def test_what_is_raised_in_an_apply_arrives() -> None:
    def fail(_: str) -> str:
        raise ValueError("broken later")

    def program() -> None:
        pulumi.export("value", gcp.compute.Network("network").id.apply(fail))

    with pytest.raises(ValueError, match="broken later"):
        record(program)


def test_one_run_leaves_nothing_to_the_next() -> None:
    record(lambda: Pair("first"))
    assert [r.name for r in record(lambda: Pair("second")) if r.type == "test:index:Pair"] == ["second"]


def test_an_input_that_is_not_there_names_what_is() -> None:
    network = record(lambda: Pair("pair")).one("Network")
    with pytest.raises(KeyError, match="nothing at 'mtu'"):
        network["mtu"]
    assert network.get("mtu") is None

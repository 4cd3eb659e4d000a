import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.gateway.names import stable_url, weighted_url
from llm_serving.gateway.routes import ModelRoute
from tests.unit.recording import record
from tests.unit.serving import crds

CANARY = {"release": "1.1.0", "weight": 10}


def urls(*versions):
    return {version: f"http://tiny-{version.replace('.', '-')}.chat.svc:8000/v1" for version in versions}


def routes(releases, release_urls=None, **changes):
    model = {"name": "tiny", "team": "chat", "pool": "cpu", "releases": releases}
    served = ("1.0.0", "1.1.0", "0.9.0") if release_urls is None else ()
    arguments = {
        "model": model,
        "namespace": "chat",
        "parents": [{"name": "models", "namespace": "llm-gateway"}],
        "release_urls": release_urls if release_urls is not None else urls(*served),
        **changes,
    }
    recording = record(lambda: ModelRoute("tiny", arguments))
    return {one["metadata.name"]: one for one in recording if one.type.endswith(":HTTPRoute")}, recording


def rules(releases, route="tiny", **changes):
    return routes(releases, **changes)[0][route]["spec.rules"]


def header(match):
    return [(one["type"], one["value"]) for one in match.get("headers", [])]


@pytest.mark.parametrize("releases", [{"stable": "1.0.0"}, {"stable": "1.0.0", "canary": CANARY, "previous": "0.9.0"}])
def test_routes_are_valid_and_in_the_namespace_of_the_team(releases):
    for route in routes(releases)[0].values():
        crds.assert_valid(route.inputs, "gateway-api/gateway.networking.k8s.io_httproutes.yaml")
        assert route["metadata.namespace"] == "chat"
        assert route["spec.parentRefs"] == [{"name": "models", "namespace": "llm-gateway"}]


def test_paths_are_those_that_the_gateway_asks():
    for url, route in (
        (weighted_url("llm-gateway", "tiny"), "tiny"),
        (stable_url("llm-gateway", "tiny"), "tiny-stable"),
    ):
        for rule in rules({"stable": "1.0.0", "canary": CANARY}, route):
            (match,) = rule["matches"]
            assert url.endswith(match["path"]["value"])
            assert match["path"]["type"] == "PathPrefix"
            assert rule["filters"][0]["urlRewrite"]["path"] == {
                "type": "ReplacePrefixMatch",
                "replacePrefixMatch": "/v1",
            }


@pytest.mark.parametrize(
    ("releases", "shares"),
    [
        ({"stable": "1.0.0"}, {"tiny-1-0-0": 100}),
        ({"stable": "1.0.0", "canary": CANARY}, {"tiny-1-0-0": 90, "tiny-1-1-0": 10}),
        ({"stable": "1.0.0", "canary": {**CANARY, "weight": 0}}, {"tiny-1-0-0": 100}),
        ({"stable": "1.0.0", "canary": {**CANARY, "weight": 100}}, {"tiny-1-1-0": 100}),
        ({"stable": "1.0.0", "previous": "0.9.0"}, {"tiny-1-0-0": 100}),
    ],
)
def test_releases_share_requests_by_their_weights(releases, shares):
    last = rules(releases)[-1]
    assert header(last["matches"][0]) == []
    assert {target["name"]: target["weight"] for target in last["backendRefs"]} == shares


def test_a_request_can_name_any_release_that_is_served_and_gets_no_other():
    *pinned, unknown, _ = rules({"stable": "1.0.0", "canary": {**CANARY, "weight": 0}, "previous": "0.9.0"})
    assert [header(rule["matches"][0]) for rule in pinned] == [[("Exact", v)] for v in ("1.0.0", "1.1.0", "0.9.0")]
    assert [[target["name"] for target in rule["backendRefs"]] for rule in pinned] == [
        ["tiny-1-0-0"],
        ["tiny-1-1-0"],
        ["tiny-0-9-0"],
    ]
    assert header(unknown["matches"][0]) == [("RegularExpression", ".+")]
    assert "backendRefs" not in unknown


def test_the_stable_route_knows_the_stable_release_alone():
    (rule,) = rules({"stable": "1.0.0", "canary": {**CANARY, "weight": 100}}, "tiny-stable")
    assert [target["name"] for target in rule["backendRefs"]] == ["tiny-1-0-0"]


def test_every_answer_says_which_release_it_is_of():
    for route in ("tiny", "tiny-stable"):
        for rule in rules({"stable": "1.0.0", "canary": CANARY}, route):
            for target in rule.get("backendRefs", []):
                (given,) = target["filters"][0]["responseHeaderModifier"]["set"]
                assert given["name"] == "x-llm-release"
                assert target["name"] == f"tiny-{given['value'].replace('.', '-')}"


def test_other_implementations_get_only_what_all_of_them_know():
    for rule in rules({"stable": "1.0.0", "canary": CANARY}, portable=True):
        assert rule["backendRefs"]
        assert not any("filters" in target for target in rule["backendRefs"])
        assert all(kind == "Exact" for match in rule["matches"] for kind, _ in header(match))


def test_routers_can_stand_before_the_releases():
    given = {"1.0.0": "http://tiny-1-0-0-router.chat.svc:8000/v1"}
    (rule,) = rules({"stable": "1.0.0"}, "tiny-stable", release_urls=given)
    assert (rule["backendRefs"][0]["name"], rule["backendRefs"][0]["port"]) == ("tiny-1-0-0-router", 8000)


def test_the_weights_are_an_output():
    _, recording = routes({"stable": "1.0.0", "canary": CANARY})
    assert recording.output("weights") == {"1.0.0": 90, "1.1.0": 10}


def test_a_release_without_a_service_is_refused():
    for given, path in (({}, "releaseUrls.1.0.0"), ({"1.0.0": "https://example.com/v1"}, "releaseUrls.1.0.0")):
        with pytest.raises(InputPropertiesError) as caught:
            routes({"stable": "1.0.0"}, release_urls=given)
        assert [detail["property_path"] for detail in caught.value.errors or []] == [path]

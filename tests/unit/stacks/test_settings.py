"""Every bad input is refused with the file, the property path and, where something is near, what would work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_serving.errors import ProblemsError
from llm_serving.spec import ImageReference
from stacks.images.lock import LockedImage, read_images, write_image
from stacks.releases import add_release
from stacks.settings import parse_settings, read_settings_file, refuse_unpushed, resolve
from stacks.settings.schema import settings_schema
from stacks.settings.secrets import SECRETS
from tests.unit.stacks.settings_files import REPOSITORY, copy_releases, put, settings_data, write_settings

STACKS = ["local", "dev", "staging", "prod", "prod-aws"]
LLAMA_70B = {"name": "llama-3-1-70b", "team": "chat", "pool": "l4", "releases": {"stable": "1.0.0"}}
SECOND_POOL = {
    "name": "l4",
    "accelerator": "L4",
    "capacity": [{"market": "spot", "machineType": "g2-standard-4", "max": 1}],
}

# (what is changed, new value, path in the message, word of the message, word of the suggestion)
REFUSED: list[tuple[str, Any, str, str, str]] = [
    ("netwrk", {}, "netwrk", "unknown key", "network"),
    ("pools[0].capcity", [], "pools[0].capcity", "unknown key", "capacity"),
    ("pools[0].capacity[0].machine", "x", "pools[0].capacity[0].machine", "unknown key", "machineType"),
    ("pools[0].capacity[0].max", 0, "pools[0].capacity[0].max", "must be at least 1", ""),
    ("pools[0].capacity[0].min", -1, "pools[0].capacity[0].min", "must be at least 0", ""),
    ("pools[0].capacity[0].min", 3, "pools[0].capacity[0].min", "max", ""),
    ("models[0].replicas", 0, "models[0].replicas", "must be at least 1", ""),
    ("network.pods", "10.10.0.0/18", "network.pods", "overlap", ""),
    ("network.nodes", "10.10.0.0/29", "network.nodes", "", "/"),
    ("network.pods", "10.64.0.0/25", "network.pods", "", "/"),
    ("network.pods", "10.64.0.1/18", "network.pods", "CIDR", ""),
    (
        "pools[0].capacity[0].machineType",
        "g2-standard-9",
        "pools[0].capacity[0].machineType",
        "",
        "g2-standard-",
    ),
    (
        "pools[0].capacity[0].machineType",
        "a2-highgpu-1g",
        "pools[0].capacity[0].machineType",
        "A100",
        "g2-standard-",
    ),
    ("pools[0].capacity[0].zones", ["us-central1-z"], "pools[0].capacity[0].zones[0]", "", ""),
    ("pools[0].capacity[0].reservation", "mine", "pools[0].capacity[0].reservation", "spot", ""),
    ("pools[0].capacity[0].market", "preemptible", "pools[0].capacity[0].market", "", "spot"),
    ("pools[0].accelerator", "L5", "pools[0].accelerator", "", "L4"),
    ("pools[0].accelerator", "RTX-4090", "pools[0].accelerator", "", ""),
    ("pools[1]", SECOND_POOL, "pools[1].name", "", ""),
    ("pools[0].name", "L4_pool", "pools[0].name", "lower-case", ""),
    ("cluster.name", "llm.dev", "cluster.name", "lower-case", ""),
    ("cluster.zones", ["europe-west4-a"], "cluster.zones[0]", "region", ""),
    ("models[0].name", "gpt-5", "models[0]", "release", ""),
    ("models[0].releases.stable", "9.9.9", "models[0].releases.stable", "", "1.0.0"),
    ("models[0].releases.stable", "latest", "models[0].releases.stable", "not a version", ""),
    ("models[0].pool", "h100", "models[0].pool", "", "l4"),
    ("models[0].team", "nobody", "models[0].team", "", "chat"),
    ("models[0].tensorParallelism", 3, "models[0].tensorParallelism", "", ""),
    ("models[0]", LLAMA_70B | {"acceptLicense": True}, "models[0]", "fit", "x"),
    ("models[0]", LLAMA_70B, "models[0].acceptLicense", "licen", ""),
    (
        "models[0].drain",
        {"shutdownTimeoutSeconds": 60},
        "models[0].drain.shutdownTimeoutSeconds",
        "15 s after",
        "at most",
    ),
    ("cloud", "azure", "cloud", "not a cloud", "gcp"),
    ("region", "mars", "region", "not a region", ""),
]


@pytest.mark.parametrize("stack", STACKS)
def test_every_committed_stack_is_fine(stack: str) -> None:
    path = REPOSITORY / f"Pulumi.{stack}.yaml"
    resolved = resolve(read_settings_file(path), path.name)
    assert resolved.models


@pytest.mark.parametrize(("where", "value", "path", "reason", "suggestion"), REFUSED, ids=lambda v: str(v)[:40])
def test_bad_input_is_refused_with_file_and_property_path(
    where: str, value: Any, path: str, reason: str, suggestion: str, tmp_path: Path
) -> None:
    data = settings_data()
    put(data, where, value)
    file = write_settings(tmp_path, data)
    with pytest.raises(ProblemsError) as refused:
        resolve(read_settings_file(file), file.name)
    lines = [line for line in str(refused.value).splitlines() if f"llm-serving:{path}" in line]
    assert lines, str(refused.value)
    assert lines[0].startswith("Pulumi.dev.yaml: llm-serving:")
    assert any(reason in line and suggestion in line for line in lines), str(refused.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    data = settings_data()
    put(data, "models[0].replicas", -1)
    put(data, "pools[0].capacity[0].max", 0)
    file = write_settings(tmp_path, data)
    with pytest.raises(ProblemsError) as refused:
        read_settings_file(file)
    assert len(refused.value.problems) == 2


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  llm-serving:cloud: gcp\n  llm-serving:cloud: existing\n")
    with pytest.raises(ProblemsError, match=r"Pulumi\.dev\.yaml.*'llm-serving:cloud' is given twice.*line 3"):
        read_settings_file(file)


def test_a_missing_file_names_those_that_are_there(tmp_path: Path) -> None:
    write_settings(tmp_path, settings_data(), "dev")
    with pytest.raises(ProblemsError, match=r"no such file.*Pulumi\.dev\.yaml"):
        read_settings_file(tmp_path / "Pulumi.prd.yaml")


def test_numbers_that_arrive_as_floats_are_integers() -> None:
    data = settings_data()
    put(data, "models[0].replicas", 2.0)
    assert parse_settings(data, "Pulumi.dev.yaml").models[0].replicas == 2
    put(data, "models[0].replicas", 2.5)
    with pytest.raises(ProblemsError, match=r"models\[0\]\.replicas = 2\.5"):
        parse_settings(data, "Pulumi.dev.yaml")


def test_an_ipv6_range_is_refused_with_the_reason() -> None:
    data = settings_data()
    put(data, "network.nodes", "fd00::/64")
    with pytest.raises(ProblemsError, match=r"network\.nodes = 'fd00::/64': is an IPv6 range.*listen on IPv4"):
        parse_settings(data, "Pulumi.dev.yaml")


def test_settings_are_frozen() -> None:
    settings = parse_settings(settings_data(), "Pulumi.dev.yaml")
    with pytest.raises(ValueError, match="frozen"):
        settings.models[0].replicas = 5  # type: ignore[misc]


def test_secrets_never_become_settings(tmp_path: Path) -> None:
    data = settings_data() | {"kubeconfig": {"secure": "v1:abc"}}
    file = write_settings(tmp_path, data)
    assert "kubeconfig" in SECRETS
    assert "kubeconfig" not in read_settings_file(file).model_dump_json()


def test_a_secret_in_the_clear_is_refused_and_not_shown(tmp_path: Path) -> None:
    image_pull = {"registry": "registry.example.com", "username": "robot"}
    for value, message in (("hunter2", "in the clear"), (None, "required where imagePull.registry is given")):
        password = {} if value is None else {"imagePullPassword": value}
        file = write_settings(tmp_path, settings_data() | {"imagePull": image_pull} | password)
        with pytest.raises(
            ProblemsError, match=rf"Pulumi\.dev\.yaml: llm-serving:imagePullPassword: .*{message}"
        ) as caught:
            read_settings_file(file)
        assert "hunter2" not in str(caught.value)
    encrypted = {"imagePullPassword": {"secure": "v1:abc"}}
    assert read_settings_file(
        write_settings(tmp_path, settings_data() | {"imagePull": image_pull} | encrypted)
    ).image_pull


TOKEN = "hf_classified"

# (more keys of the loader, what the message says; None where the file is fine)
TOKENS: list[tuple[dict[str, Any], str | None]] = [
    ({"token": {"secure": "v1:abc"}}, None),
    ({"token": TOKEN}, r"loader\.token: stands in the file in the clear \(try: pulumi config set --secret --path"),
    ({"token": {"secure": "v1:abc"}, "tokenSecret": "hub"}, r"loader\.tokenSecret = 'hub': is a second way"),
    ({"token": {"secure": "v1:abc"}, "source": "gs://mirror"}, r"loader\.token: without meaning"),
    ({"tokenSecret": "llm-serving-hub-token"}, r"loader\.tokenSecret = .*the stack makes the Secret of this name"),
]


@pytest.mark.parametrize(("loader", "message"), TOKENS)
def test_a_token_of_the_hub_is_encrypted_and_alone(loader: dict[str, Any], message: str | None, tmp_path: Path) -> None:
    data = settings_data()
    data["loader"] |= loader
    file = write_settings(tmp_path, data)
    if message is None:
        settings = read_settings_file(file)
        assert settings.loader
        assert settings.loader.token_secret == "llm-serving-hub-token"
        assert "secure" not in settings.model_dump_json()
        return
    with pytest.raises(ProblemsError, match=message) as caught:
        read_settings_file(file)
    assert TOKEN not in str(caught.value)


def test_a_token_of_the_hub_is_not_sent_in_the_clear() -> None:
    data = settings_data()
    data["loader"] |= {"tokenSecret": "hub"}
    data["egress"] = {"hubEndpoint": "http://hub.example.com:8080", "addresses": ["10.1.2.0/28"]}
    with pytest.raises(ProblemsError, match=r"egress\.hubEndpoint = 'http://hub.* \(try: https://hub"):
        resolve(parse_settings(data, "Pulumi.dev.yaml"), "Pulumi.dev.yaml")
    data["egress"]["hubEndpoint"] = "https://hub.example.com:8080"
    assert resolve(parse_settings(data, "Pulumi.dev.yaml"), "Pulumi.dev.yaml")


def test_the_stack_knows_what_is_fixed_for_its_life() -> None:
    stack = resolve(parse_settings(settings_data(), "Pulumi.dev.yaml"), "Pulumi.dev.yaml")
    assert stack.settings.fixed["region"] == "us-central1"
    assert stack.settings.fixed["network.pods"] == "10.64.0.0/18"


def test_what_would_replace_a_cluster_is_fixed() -> None:
    zonal, regional = (
        resolve(parse_settings(settings_data(stack), "a"), "a").settings.fixed for stack in ("dev", "prod")
    )
    assert zonal["cluster.maxPodsPerNode"] == regional["cluster.maxPodsPerNode"] == "32"
    assert zonal["cluster.zones[0]"] == "us-central1-a"
    assert "cluster.zones[0]" not in regional


BUILT = {"repository": "localhost/llm-serving/vllm", "tag": "0123456789ab", "launcher": True}


def test_an_image_built_on_the_spot_takes_the_place_of_the_releases_own_and_the_release_keeps_its_hash() -> None:
    data = settings_data("local")
    before = resolve(parse_settings(data, "local"), "local").models[0].release
    after = resolve(parse_settings({**data, "engineImages": {"vllm": BUILT}}, "local"), "local").models[0].release
    assert after.spec.image.reference == "localhost/llm-serving/vllm:0123456789ab"
    assert after.sha256 == before.sha256


def test_an_image_of_this_machine_has_no_launcher_inside_whatever_an_older_release_says() -> None:
    stack = resolve(parse_settings(settings_data("local"), "local"), "local")
    assert not stack.models[0].release.spec.image.launcher
    assert stack.launched_models == ("tiny-llama",)


@pytest.mark.parametrize(
    ("repository", "pulled"),
    [
        ("docker.io/vllm/vllm-openai", "us-central1-docker.pkg.dev/images/hub/vllm/vllm-openai"),
        ("vllm/vllm-openai", "us-central1-docker.pkg.dev/images/hub/vllm/vllm-openai"),
        ("docker.io/redis", "us-central1-docker.pkg.dev/images/hub/library/redis"),
        ("redis", "us-central1-docker.pkg.dev/images/hub/library/redis"),
        ("index.docker.io/library/redis", "us-central1-docker.pkg.dev/images/hub/library/redis"),
        ("ghcr.io/huggingface/text-generation-inference", None),
        ("localhost/llm-serving/vllm", None),
        ("registry:5000/vllm", None),
    ],
)
def test_images_of_docker_hub_alone_come_through_the_remote_repository(repository: str, pulled: str | None) -> None:
    shared = {"project": "images", "pullThrough": "hub"}
    settings = parse_settings(settings_data("dev") | {"registry": shared}, "dev")
    image = ImageReference(repository=repository, tag="1", digest="sha256:" + "a" * 64)
    assert settings.pulled(image) == image.model_copy(update={"repository": pulled or repository})


def test_a_start_may_take_as_long_as_the_plan_says_of_the_image_that_nodes_pull() -> None:
    data = settings_data("staging")
    planned = resolve(parse_settings(data, "staging"), "staging").models[0].plan.cold_start_seconds
    put(data, "models[0].timeouts", {"startupSeconds": planned})
    assert resolve(parse_settings(data, "staging"), "staging").models[0].spec.timeouts.startup_seconds == planned
    put(data, "models[0].timeouts", {"startupSeconds": planned - 1})
    with pytest.raises(ProblemsError, match=f"planned to take {planned} s"):
        resolve(parse_settings(data, "staging"), "staging")


def test_an_engine_that_comes_through_the_remote_repository_is_the_one_that_its_release_pins() -> None:
    data = settings_data("dev")
    through = resolve(parse_settings(data, "dev"), "dev")
    without = resolve(parse_settings(data | {"registry": {"project": "acme-llm-images"}}, "dev"), "dev")
    before, after = without.models[0].release, through.models[0].release
    assert before.spec.image.repository == "docker.io/vllm/vllm-openai"
    assert after.spec.image.repository == "us-central1-docker.pkg.dev/acme-llm-images/docker-hub/vllm/vllm-openai"
    assert (after.sha256, after.spec.image.tag) == (before.sha256, before.spec.image.tag)
    # What is told of an image names it as the lock does.
    assert through.notes == without.notes


def test_what_a_cloud_serves_is_what_its_releases_pin() -> None:
    with pytest.raises(ProblemsError, match="unknown key"):
        parse_settings({**settings_data("dev"), "engineImages": {"vllm": BUILT}}, "dev")


def test_models_on_cpus_take_no_gpu_of_the_quota() -> None:
    data = settings_data("local")
    stack = resolve(parse_settings(data, "local"), "local")
    assert stack.gpu_quota(stack.settings.teams[0]) == 0
    put(data, "teams[0].gpuQuota", 0)
    resolve(parse_settings(data, "local"), "local")


GATED = {"name": "llama-3-1-70b", "pool": "big", "releases": {"stable": "1.0.0"}, "acceptLicense": True}
BIG = {"name": "big", "accelerator": "H200", "gpusPerNode": 8, "cpu": 96, "memoryGib": 1000}


@pytest.mark.parametrize(("source", "refused"), [("hf://", True), ("file:///mirror", False)])
def test_a_gated_model_is_not_asked_of_the_hub_without_a_token(source: str, refused: bool) -> None:
    image = {"repository": "registry.example/model-loader", "tag": "1.0.0"}
    data = settings_data("local") | {"loader": {"image": image, "source": source}, "pools": [BIG]}
    data["models"] = [GATED | {"team": "chat"}]
    put(data, "cluster.cacheStorage.sizeGib", 200)
    if not refused:
        resolve(parse_settings(data, "local"), "local")
        return
    with pytest.raises(ProblemsError, match="gated"):
        resolve(parse_settings(data, "local"), "local")


# --- images by name

LOADER = "model-loader@0.1.0"
DIGEST = "sha256:" + "0123456789abcdef" * 4
NOWHERE = LockedImage(repository="registry.invalid/llm-serving/model-loader", tag="0.1.0")
PUSHED = LockedImage(repository="registry.test/llm/model-loader", tag="0.1.0", digest=DIGEST, inputs="0" * 12)


def loading(**more: Any) -> dict[str, Any]:
    return {**settings_data("dev"), "loader": {"image": LOADER}, **more}


def test_a_loader_names_an_image_of_the_lock() -> None:
    settings = parse_settings(loading(), "dev", {LOADER: PUSHED})
    assert settings.loader is not None
    assert settings.loader.image.reference == f"registry.test/llm/model-loader@{DIGEST}"
    with pytest.raises(ProblemsError, match=r"llm-serving:loader\.image = 'model-loader@0\.1\.0': no image of .*lock"):
        parse_settings(loading(), "dev", {})


def test_an_image_that_is_in_no_registry_is_planned_and_not_brought_up(tmp_path: Path) -> None:
    releases = copy_releases(tmp_path / "releases", model_loader=NOWHERE)
    stack = resolve(parse_settings(loading(), "dev", read_images(releases)), "Pulumi.dev.yaml", releases)
    (problem,) = stack.unpushed
    assert problem in stack.notes
    with pytest.raises(ProblemsError) as refusal:
        refuse_unpushed(stack)
    assert str(refusal.value) == (
        "Pulumi.dev.yaml: llm-serving:loader.image = 'model-loader@0.1.0': is in no registry yet "
        "(try: stacks images push model-loader@0.1.0 --archive FILE --to REGISTRY)"
    )
    # A file that writes it out does not change with the lock.
    written = loading(loader={"image": {"repository": NOWHERE.repository, "tag": NOWHERE.tag}})
    (problem,) = resolve(parse_settings(written, "dev", read_images(releases)), "dev", releases).unpushed
    assert problem.value == "registry.invalid/llm-serving/model-loader:0.1.0"
    assert problem.suggestion.startswith("stacks images push model-loader@0.1.0 ")
    assert problem.suggestion.endswith(", then model-loader@0.1.0 in its place")
    other = {"repository": "localhost/model-loader", "tag": "1"}
    settings = parse_settings(loading(images={LOADER: other}), "dev", read_images(releases))
    assert refuse_unpushed(resolve(settings, "dev", releases)).settings == settings
    assert settings.loader is not None
    assert settings.loader.image.reference == "localhost/model-loader:1"


def test_a_release_that_names_an_image_in_no_registry_is_refused_by_its_role(tmp_path: Path) -> None:
    releases = copy_releases(tmp_path / "releases", model_loader=PUSHED, vllm=NOWHERE)
    add_release("qwen3-0-6b", "1.9.0", base="1.0.0", changes=["image=vllm@0.1.0"], folder=releases)
    data = loading()
    put(data, "models[0].releases.stable", "1.9.0")
    (problem,) = resolve(parse_settings(data, "dev", read_images(releases)), "dev", releases).unpushed
    assert (problem.path, problem.value) == ("llm-serving:models[0].releases.stable", "vllm@0.1.0")
    data["images"] = {"vllm@0.1.0": {"repository": "localhost/vllm", "tag": "1"}}
    stack = resolve(parse_settings(data, "dev", read_images(releases)), "dev", releases)
    assert stack.unpushed == ()
    assert stack.models[0].release.spec.image.reference == "localhost/vllm:1"


def test_an_image_without_a_digest_is_noted_with_the_command_that_pins_it(tmp_path: Path) -> None:
    releases = copy_releases(tmp_path / "releases", model_loader=PUSHED.model_copy(update={"digest": None}))
    add_release("qwen3-0-6b", "1.9.0", base="1.0.0", changes=["image=vllm-openai@0.32.0"], folder=releases)

    def noted(version: str, **more: Any) -> dict[str, str]:
        data = loading(**more)
        put(data, "models[0].releases.stable", version)
        stack = resolve(parse_settings(data, "dev", read_images(releases)), "dev", releases)
        return {note.path.partition(":")[2]: note.suggestion for note in stack.notes if "by its tag" in note.reason}

    engine = {"models[0].releases.stable": "stacks images pin vllm-openai@0.32.0"}
    assert noted("1.9.0") == {"loader.image": "stacks images pin model-loader@0.1.0"} | engine
    # A file that writes the image out does not change with the lock.
    assert noted("1.0.0")["models[0].releases.stable"].endswith(", then vllm-openai@0.32.0 in its place")
    written: Any = {"loader": {"image": {"repository": PUSHED.repository, "tag": PUSHED.tag}}}
    pin_first = "stacks images pin model-loader@0.1.0, then model-loader@0.1.0 in its place"
    assert noted("1.9.0", **written) == {"loader.image": pin_first} | engine
    for name in ("vllm-openai@0.32.0", LOADER):
        write_image(releases, name, read_images(releases)[name].model_copy(update={"digest": DIGEST}))
    assert noted("1.9.0") == {}
    assert noted("1.9.0", **written) == {"loader.image": "model-loader@0.1.0 in its place"}
    assert noted("1.0.0") == {"models[0].releases.stable": "vllm-openai@0.32.0 in its place"}


def test_no_other_image_takes_the_place_of_one_that_has_a_digest() -> None:
    other = {"repository": "localhost/model-loader", "tag": "1"}
    with pytest.raises(ProblemsError, match=rf"images\.model-loader@0\.1\.0: is {DIGEST} in the lock, which decides"):
        parse_settings(loading(images={LOADER: other}), "dev", {LOADER: PUSHED})
    with pytest.raises(ProblemsError, match=r"llm-serving:images = 'model-loader@9': no image of"):
        parse_settings(loading(images={"model-loader@9": other}), "dev", {LOADER: PUSHED})


@pytest.mark.parametrize(
    ("image", "fine"), [(LOADER, True), ("model-loader", False), ({"repository": "a", "tag": "b"}, True)]
)
def test_editors_know_both_ways_to_name_the_image_of_a_loader(image: Any, fine: bool) -> None:
    config = {f"llm-serving:{key}": value for key, value in loading(loader={"image": image}).items()}
    validator = jsonschema.Draft202012Validator(settings_schema())
    assert validator.is_valid({"config": config}) == fine


def test_every_number_of_a_settings_file_has_bounds() -> None:
    """A count without one is multiplied by others, and what is as long as it takes the memory of the machine."""
    unbounded = [path for path, node in _numbers(settings_schema(), "") if not _is_bounded(node)]
    assert unbounded == []


def _numbers(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _numbers(item, f"{path}/{index}")
    elif isinstance(node, dict):
        if node.get("type") in ("integer", "number"):
            yield path, node
        for key, item in node.items():
            yield from _numbers(item, f"{path}/{key}")


def _is_bounded(node: dict[str, Any]) -> bool:
    is_from = "minimum" in node or "exclusiveMinimum" in node
    return "enum" in node or (is_from and ("maximum" in node or "exclusiveMaximum" in node))

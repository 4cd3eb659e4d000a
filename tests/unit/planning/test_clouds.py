"""A cloud is asked, never recognised: outside the rooms of clouds nothing compares its name or the class of its
settings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import CLOUDS, cloud_named
from llm_serving.spec import LoadBalancerSpec

REPOSITORY = Path(__file__).parents[3]
ROOMS = (
    "components/llm_serving/cloud/",
    "components/llm_serving/planning/clouds/",
    "components/llm_serving/addons/table.py",
    "infra/clouds/__init__.py",
)
"""Where a cloud is known: its components, what planning must know of it, the table that says who brings an add-on on
which cloud (facts, like the catalog's), and the module that starts the right one."""

CLASSES = frozenset(
    {
        "Aws",
        "AwsClusterSpec",
        "AwsNetworkSpec",
        "AwsPoolSpec",
        "AwsSettings",
        "Existing",
        "ExistingClusterSettings",
        "ExistingPoolSpec",
        "ExistingSettings",
        "Gcp",
        "GcpClusterSpec",
        "GcpNetworkSpec",
        "GcpPoolSpec",
        "GcpSettings",
        "PoolSpec",
    }
)
"""Classes of settings, pools and clouds of which another cloud has another one."""


def is_name(node: ast.AST) -> bool:
    """Whether an expression is, or holds, the name of a cloud."""
    return any(isinstance(part, ast.Constant) and part.value in CLOUDS for part in ast.walk(node))


def classes_in(node: ast.AST) -> bool:
    parts = (part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", None) for part in ast.walk(node))
    return any(part in CLASSES for part in parts)


def cloud_decisions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and kind of every place that decides by the name or the class of a cloud."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare() if is_name(node):
                yield node.lineno, "comparison"
            case ast.Dict() if any(key is not None and is_name(key) for key in node.keys):
                if is_table_of_clouds(node):
                    yield node.lineno, "table"
            case ast.MatchValue() if is_name(node.value):
                yield node.value.lineno, "match"
            case ast.MatchClass() if classes_in(node.cls):
                yield node.cls.lineno, "match"
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass")) if classes_in(node.args[1]):
                yield node.lineno, "isinstance"
            case ast.Call(func=ast.Attribute(attr="startswith" | "endswith" | "get" | "index" | "count")) if any(
                map(is_name, node.args)
            ):
                yield node.lineno, "comparison"
            case _:
                pass


def is_table_of_clouds(table: ast.Dict) -> bool:
    """Whether a dictionary's keys are names of clouds and nothing else."""
    return all(isinstance(key, ast.Constant) and key.value in CLOUDS for key in table.keys)


def decisions_by_cloud(root: Path) -> list[str]:
    decisions = []
    for folder in ("components", "stacks", "infra"):
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if path.startswith(ROOMS):
                continue
            tree = ast.parse(file.read_text(encoding="utf-8"))
            decisions += [f"{path}:{line}: {kind}" for line, kind in cloud_decisions(tree)]
    return decisions


def test_nothing_outside_the_rooms_of_clouds_recognises_one() -> None:
    assert decisions_by_cloud(REPOSITORY) == []


@pytest.mark.parametrize(
    "code",
    [
        "if stack.cloud == 'gcp': pass",
        "if 'existing' != settings.cloud: pass",
        "if cloud in ('gcp', 'aws'): pass",
        "TABLE = {'gcp': 1, 'aws': 2}",
        "match cloud:\n    case 'aws': pass",
        "match settings:\n    case GcpSettings(): pass",
        "isinstance(settings, GcpSettings)",
        "isinstance(pool, spec.ExistingPoolSpec | PoolSpec)",
        "isinstance(pool, (PoolSpec, int))",
        "cloud.startswith('gcp')",
    ],
)
def test_every_way_to_recognise_a_cloud_is_seen(code: str) -> None:
    assert list(cloud_decisions(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["cloud: str = 'existing'", "isinstance(text, str)", "{'market': 'existing'}", "stack.cloud.markets"]
)
def test_naming_a_cloud_without_deciding_by_it_is_fine(code: str) -> None:
    assert not list(cloud_decisions(ast.parse(code)))


def test_a_cloud_is_found_by_the_name_that_settings_give_it_and_no_other() -> None:
    assert {cloud.name for cloud in CLOUDS.values()} == set(CLOUDS)
    assert all(cloud_named(name) is cloud for name, cloud in CLOUDS.items())
    with pytest.raises(ProblemsError, match=r"azure.*gcp"):
        cloud_named("azure")


INTERNAL_BY = {
    "gcp": {"networking.gke.io/load-balancer-type": "Internal"},
    "aws": {
        "service.beta.kubernetes.io/aws-load-balancer-scheme": "internal",
        "service.beta.kubernetes.io/aws-load-balancer-internal": "true",
    },
    "existing": {},
}


@pytest.mark.parametrize("name", CLOUDS)
def test_a_load_balancer_is_of_the_private_network_unless_it_is_asked_to_be_public(name):
    private = CLOUDS[name].load_balancer(LoadBalancerSpec()).annotations
    public = CLOUDS[name].load_balancer(LoadBalancerSpec(public=True)).annotations
    assert INTERNAL_BY[name].items() <= private.items()
    assert not INTERNAL_BY[name].items() & public.items()


def test_a_load_balancer_that_ends_tls_is_told_its_certificate_and_its_addresses():
    balancer = LoadBalancerSpec(public=True, addresses=("eipalloc-1", "eipalloc-2"))
    prefix = "service.beta.kubernetes.io/aws-load-balancer"
    annotations = CLOUDS["aws"].load_balancer(balancer, "arn:aws:acm:example").annotations
    assert annotations[f"{prefix}-ssl-cert"] == "arn:aws:acm:example"
    assert annotations[f"{prefix}-eip-allocations"] == "eipalloc-1,eipalloc-2"
    assert CLOUDS["gcp"].load_balancer(LoadBalancerSpec(addresses=("10.0.0.7",))).address == "10.0.0.7"

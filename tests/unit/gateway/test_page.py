"""What docs/gateway.md says of errors and ports is what programs and objects have."""

import ast
import re
from pathlib import Path

import llm_serving_gateway
from pydantic import BaseModel

from llm_serving.gateway import certificates, edge_route, names
from llm_serving.serving import gateway_access
from local.state_folder import REPOSITORY
from stacks.settings import ExistingSettings

PAGE = (REPOSITORY / "docs/gateway.md").read_text()
QUEUE_PAGE = (REPOSITORY / "docs/gateway-queue.md").read_text()
SOURCES = sorted(Path(llm_serving_gateway.__file__).parent.rglob("*.py"))
STATUS = {"invalid": 400, "unavailable": 503}
"""Functions of the program that make an error of one status."""


def documented() -> set[tuple[int, str]]:
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", PAGE + QUEUE_PAGE, re.MULTILINE)
    return {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}


def made() -> set[tuple[int, str]]:
    """Status and code of each error that the program makes with both of them written down."""
    errors: set[tuple[int, str]] = set()
    for source in SOURCES:
        for call in (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)):
            if not isinstance(call.func, ast.Name):
                continue
            values = [each.value if isinstance(each, ast.Constant) else None for each in call.args]
            named = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
            status, code = STATUS.get(call.func.id), named.get("code")
            if call.func.id == "invalid" and code is None and len(values) > 2:
                code = values[2]
            if call.func.id == "RefusalError" and len(values) > 2:
                status, code = values[0], values[2]
            if isinstance(status, int) and isinstance(code, str):
                errors.add((status, code))
    return errors


def test_every_error_of_the_program_is_in_the_table() -> None:
    assert {status for status, _ in made()} >= {400, 403, 404, 413, 503}
    assert made() <= documented()


def test_the_paths_are_those_that_the_edge_lets_through() -> None:
    assert {path for method, path in paths(PAGE) if method == "POST"} == set(edge_route.POST_PATHS)
    assert {path for method, path in paths(PAGE) if method == "GET"} == {
        edge_route.GET_PREFIX,
        f"{edge_route.GET_PREFIX}/<name>",
    }


def paths(page: str) -> set[tuple[str, str]]:
    """Method and path of each row of a table of paths."""
    rows = re.findall(r"^\| (`/v1/.+?) \| ((?:GET|POST|DELETE|, )+) \|", page, re.MULTILINE)
    return {
        (method, path)
        for paths, methods in rows
        for path in re.findall(r"`([^`]+)`", paths)
        for method in methods.split(", ")
    }


def test_the_edge_lets_the_paths_of_the_queue_through_and_none_without_it() -> None:
    documented = paths(QUEUE_PAGE)
    assert len(documented) == 13
    rules = edge_route.spec({"name": "edge"}, None, "litellm", 4000, queue=True)["rules"]
    prefixes = [(match["method"], match["path"]["value"]) for match in rules[0]["matches"]]
    for method, path in documented:
        assert any(method == allowed and path.startswith(prefix) for allowed, prefix in prefixes), path
    assert "queue" not in str(edge_route.spec({"name": "edge"}, None, "litellm", 4000))


def test_the_ports_are_those_of_the_objects() -> None:
    (table,) = re.findall(r"## Who reaches whom\n(.*?)\n\nBehind", PAGE, re.DOTALL)
    ports = {int(port) for port in re.findall(r"\b\d{4,5}\b", table)}
    assert ports == {
        value
        for module in (names, gateway_access, certificates)
        for name, value in vars(module).items()
        if name.endswith("_PORT") and not name.startswith("EDGE_SERVICE")
    }


def test_every_metric_of_the_program_is_on_a_page() -> None:
    text = "".join(source.read_text() for source in SOURCES)
    names = {*re.findall(r'"(llm_gateway_\w+)"', text)}
    names |= {f"llm_gateway_{name}" for name in re.findall(r'self\._(?:counter|gauge)\(\s*"(\w+)"', text)}
    assert len(names) > 20
    pages = "".join(page.read_text() for page in (REPOSITORY / "docs").glob("gateway*.md"))
    for name in names:
        assert re.search(rf"`{name}(_total)?[`{{]", pages), name


def test_the_settings_that_are_named_are_there() -> None:
    named = {path.removeprefix("gateway.") for path in re.findall(r"`(gateway\.[A-Za-z.]+)`", PAGE)} - {"url"}
    assert named
    for path in named:
        model: type[BaseModel] | None = ExistingSettings
        steps = ["gateway", *path.split(".")]
        for step in steps:
            assert model is not None, path
            field = next((each for name, each in model.model_fields.items() if step in (name, each.alias)), None)
            assert field is not None, path
            inner = list(getattr(field.annotation, "__args__", (field.annotation,)))
            model = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), None)

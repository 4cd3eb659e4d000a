"""The TypeScript programs of example and README use components, inputs and outputs that the committed schema has.

They are written without type annotations, so Node runs them as they are. In the place of the SDK that Pulumi generates
from the schema stands one that takes names, inputs and outputs from the schema as well, and refuses others.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.state_folder import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "typescript"
SCHEMA = REPOSITORY / "components" / "schema.json"
README = REPOSITORY / "components" / "README.md"

SDK = """
import { readFileSync } from "node:fs";

const schema = JSON.parse(readFileSync(process.env.SCHEMA));

function check(properties, required, values, path) {
  for (const key of required ?? []) if (!(key in values)) throw new Error(`${path}.${key}: required`);
  for (const [key, value] of Object.entries(values)) {
    if (!(key in properties)) throw new Error(`${path}.${key}: unknown input`);
    checkType(properties[key], value, `${path}.${key}`);
  }
}

function checkType(property, value, path) {
  if (property.type === "array") value.forEach((item, index) => checkType(property.items, item, `${path}[${index}]`));
  const name = property.$ref?.replace("#/types/", "");
  if (name in schema.types) check(schema.types[name].properties, schema.types[name].required, value, path);
}

function component(kind) {
  const { inputProperties, requiredInputs, properties } = schema.resources[`llm-serving:index:${kind}`];
  return class {
    constructor(name, inputs, options) {
      check(inputProperties, requiredInputs, inputs, `${kind} ${name}`);
      return new Proxy(this, {
        get(_, output) {
          if (!(output in properties)) throw new Error(`${kind} ${name}: no output ${String(output)}`);
          return `<${name}.${output}>`;
        },
      });
    }
  };
}
"""
PULUMI = "export class Config { require(key) { return key; } requireSecret(key) { return key; } }\n"
KUBERNETES = "export class Provider {}\n"


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program with the packages that it imports; what it exports is printed as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the TypeScript example was NOT RUN: node is missing")
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    kinds = [token.rsplit(":", 1)[1] for token in schema["resources"]]
    sdk = SDK + "".join(f'export const {kind} = component("{kind}");\n' for kind in kinds)
    for name, text in (("llm-serving", sdk), ("pulumi", PULUMI), ("kubernetes", KUBERNETES)):
        package = folder / "node_modules" / "@pulumi" / name
        package.mkdir(parents=True)
        (package / "package.json").write_text(json.dumps({"type": "module", "main": "index.js"}))
        (package / "index.js").write_text(text)
    (folder / "index.mjs").write_text(program)
    script = 'import("./index.mjs").then((exports) => console.log(JSON.stringify(exports)));'
    return subprocess.run(
        [node, "--eval", script], cwd=folder, env={"SCHEMA": str(SCHEMA)}, capture_output=True, text=True, check=False
    )


def test_the_example_uses_the_package_as_its_schema_says(tmp_path: Path) -> None:
    done = run((EXAMPLE / "index.ts").read_text(encoding="utf-8"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"url": "<qwen3-8b.url>"}


def test_the_readmes_program_is_whole_and_uses_the_package_as_its_schema_says(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```typescript\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"namespace": "<chat.namespace>"}


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("llm.ExistingPool(", "llm.ExistingPools(", "not a constructor"),
        ("gpuQuota: 2", "gpuQuotas: 2", "TeamNamespace chat.gpuQuota: required"),
        ("gpusPerNode: 2", "gpusANode: 2", "ExistingPool a6000.pool.gpusANode: unknown input"),
        ("contextLength: 8192", "context: 8192", "ModelService qwen3-8b.releases[0].context"),
        ("weights.volume", "weights.volumes", "no output volumes"),
    ],
)
def test_what_the_schema_does_not_have_is_noticed(right: str, wrong: str, reason: str, tmp_path: Path) -> None:
    program = (EXAMPLE / "index.ts").read_text(encoding="utf-8")
    assert right in program
    done = run(program.replace(right, wrong), tmp_path)
    assert done.returncode != 0
    assert reason in done.stderr

"""Each component as a small environment would use it; keywords change its arguments."""

from collections.abc import Callable
from typing import Any

from llm_serving.cloud.aws import AwsNetwork
from tests.unit.recording import Recording, record

ACCOUNT, REGION = "012345678901", "us-east-1"
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


def _arn(kind: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    return lambda name, inputs: {"arn": f"arn:aws:{kind}{inputs.get('name', name)}"}


OUTPUTS = {
    "aws:cloudwatch/logGroup:LogGroup": _arn(f"logs:{REGION}:{ACCOUNT}:log-group:"),
    "aws:iam/role:Role": _arn(f"iam::{ACCOUNT}:role/"),
    "aws:ec2/eip:Eip": lambda name, _: {"allocationId": f"eipalloc-{name}"},
    "aws:ec2/natGateway:NatGateway": lambda name, _: {"publicIp": f"203.0.113.{ord(name[-1]) - 96}"},
}


def network(*, preview: bool = False, **args: Any) -> Recording:
    inputs: Any = {"region": REGION, "name": "prod", "zones": ZONES, **args}
    return record(lambda: AwsNetwork("network", inputs), preview=preview, outputs=OUTPUTS)

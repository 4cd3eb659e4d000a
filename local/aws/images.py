"""The parameters under which AWS publishes images of EKS nodes: moto has none of them, and lets nobody store them."""

import re
from datetime import UTC, datetime
from typing import Any

from moto.ssm.models import Parameter, ParameterDict

# moto's own images stand for those of EKS: Karpenter tells variants apart by the image's id, so each needs its own.
_AL2023 = {
    ("x86_64", "standard"): "ami-0d27e0fb3bac4d724",
    ("x86_64", "nvidia"): "ami-03c3da4cfa8e8943a",
}
_BOTTLEROCKET = {"": "ami-07518cc94bb750af3", "-nvidia": "ami-0a9b24137b7e0ba09"}
_PARAMETER = re.compile(
    r"/aws/service/eks/optimized-ami/[\d.]+/amazon-linux-2023/(?P<arch>\w+)/(?P<variant>\w+)/.+/image_id"
    r"|/aws/service/bottlerocket/aws-k8s-[\d.]+(?P<flavour>-nvidia)?/x86_64/.+/image_id"
)


def image(parameter: str) -> str | None:
    """The image that a public parameter names, ``None`` for one that the local AWS does not have (arm64, Neuron)."""
    match = _PARAMETER.fullmatch(parameter)
    if match is None:
        return None
    if match["arch"]:
        return _AL2023.get((match["arch"], match["variant"]))
    return _BOTTLEROCKET[match["flavour"] or ""]


def install() -> None:
    """Give moto's parameter store these parameters. It asks for those of AWS as soon as somebody names one."""
    store: Any = ParameterDict
    load_others = store._check_loading_status

    def load(parameters: ParameterDict, key: str) -> None:
        load_others(parameters, key)
        value = image(key)
        if value is not None and not dict.__contains__(parameters, key):
            dict.__setitem__(parameters, key, [_parameter(parameters, key, value)])

    store._check_loading_status = load


def _parameter(parameters: ParameterDict, name: str, value: str) -> Any:
    return Parameter(
        account_id=parameters.account_id,
        name=name,
        value=value,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=datetime.now(UTC),
        version=1,
        data_type="text",
    )  # fmt: skip

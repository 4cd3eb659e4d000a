"""Generates the ``TypedDict`` of every object among the components' arguments from its model in ``spec``.

Consumers in other languages and type checkers need the arguments as plain types; the models are the one definition of
a field (``docs/adr/0002-one-definition-of-a-field.md``). The first paragraph of the docstring of a model or a field
becomes the docstring of the generated class or key, which the SDK puts into ``schema.json`` as its description. Further
paragraphs are for readers of the model.

``python -m llm_serving.plugin arguments`` writes the modules; a test compares them with the models.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from llm_serving import spec
from llm_serving.arguments import Frozen
from llm_serving.planning.nodes import NodeShape
from llm_serving.spec import aws, gcp
from llm_serving.spec.network import Cidr

MODULES: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "serving/arguments.py": {
        "TeamArgs": spec.TeamSpec,
        "CanaryArgs": spec.CanaryChoice,
        "ReleaseChoiceArgs": spec.ReleaseChoice,
        "ScheduleArgs": spec.ScheduleSpec,
        "ScalingPaceArgs": spec.ScalingPaceSpec,
        "AutoscalingArgs": spec.AutoscalingSpec,
        "EngineArgs": spec.EngineSpec,
        "TimeoutsArgs": spec.TimeoutsSpec,
        "WarmPoolArgs": spec.WarmPoolSpec,
        "DrainArgs": spec.DrainSpec,
        "ModelArgs": spec.ModelSpec,
        "EngineReleaseArgs": spec.EngineRelease,
        "ImageReferenceArgs": spec.ImageReference,
        "LoaderArgs": spec.LoaderSpec,
        "ImagePullArgs": spec.ImagePullSpec,
        "EgressArgs": spec.EgressSpec,
        "PrometheusAuthArgs": spec.PrometheusAuthSpec,
        "LayerFactsArgs": spec.LayerFacts,
        "ExpertFactsArgs": spec.ExpertFacts,
        "EncoderFactsArgs": spec.EncoderFacts,
        "StoredQuantizationArgs": spec.StoredQuantization,
        "ModelFactsArgs": spec.ModelFacts,
        "ModelSourceArgs": spec.ModelSource,
        "AdapterArgs": spec.AdapterSource,
        "ReleaseArgs": spec.ReleaseSpec,
        "NodeShapeArgs": NodeShape,
        "QuantizationBaseArgs": spec.QuantizationBase,
        "CalibrationArgs": spec.CalibrationSpec,
        "QuantizationArgs": spec.QuantizationSpec,
    },
    "cloud/gcp/arguments.py": {
        "ControlPlaneAccessArgs": gcp.GcpControlPlaneAccess,
        "MaintenanceExclusionArgs": gcp.GcpMaintenanceExclusion,
        "MaintenanceWindowArgs": gcp.GcpMaintenanceWindow,
        "SystemPoolArgs": gcp.GcpSystemPool,
        "ClusterArgs": gcp.GcpClusterSpec,
        "NetworkRangesArgs": gcp.GcpNetworkSpec,
        "ModelCacheArgs": gcp.GcpModelCacheSpec,
        "CapacityArgs": spec.CapacityEntry,
        "SharingArgs": spec.SharingSpec,
        "PoolArgs": gcp.GcpPoolSpec,
    },
    "cloud/aws/arguments.py": {
        "AwsControlPlaneAccessArgs": aws.AwsControlPlaneAccess,
        "AwsSystemPoolArgs": aws.AwsSystemPool,
        "AwsAdministratorArgs": aws.AwsAdministrator,
        "AwsClusterSettingsArgs": aws.AwsClusterSpec,
        "AwsModelCacheSettingsArgs": aws.AwsModelCacheSpec,
        "AwsCapacityArgs": spec.CapacityEntry,
        "AwsSharingArgs": spec.SharingSpec,
        "AwsPoolArgs": aws.AwsPoolSpec,
    },
    "cloud/existing/arguments.py": {
        "TolerationArgs": spec.Toleration,
        "ExistingSharingArgs": spec.SharingSpec,
        "ExistingPoolSpecArgs": spec.ExistingPoolSpec,
        "CacheStorageArgs": spec.CacheStorageSpec,
    },
    "gateway/arguments.py": {
        "GatewayImageArgs": spec.ImageReference,
        "BudgetArgs": spec.BudgetSpec,
        "KeyArgs": spec.KeySpec,
        "PriceArgs": spec.PriceSpec,
        "GatewayTimeoutsArgs": spec.GatewayTimeoutsSpec,
        "GatewayModelArgs": spec.GatewayModelSpec,
        "GatewayReplicasArgs": spec.GatewayReplicasSpec,
        "GatewayLimitsArgs": spec.GatewayLimitsSpec,
        "OverloadArgs": spec.OverloadSpec,
        "RetriesArgs": spec.RetriesSpec,
        "BreakerArgs": spec.BreakerSpec,
        "HostedModelArgs": spec.HostedModelSpec,
        "HostedProviderArgs": spec.HostedProviderSpec,
        "RedisSettingsArgs": spec.RedisSpec,
        "LimitsRedisArgs": spec.LimitsRedisSpec,
        "RedisStoresArgs": spec.RedisStoresSpec,
        "PostgresArgs": spec.PostgresSpec,
        "AnswerCacheArgs": spec.AnswerCacheSpec,
        "GuardrailsArgs": spec.GuardrailsSpec,
        "WebhooksArgs": spec.WebhooksSpec,
        "QueueArgs": spec.QueueSpec,
        "IssuerArgs": spec.IssuerSpec,
        "AcmeArgs": spec.AcmeSpec,
        "GatewayTlsArgs": spec.GatewayTlsSpec,
        "CertificateSecretArgs": spec.CertificateSecretSpec,
        "LoadBalancerArgs": spec.LoadBalancerSpec,
        "ExistingEdgeArgs": spec.ExistingEdgeSpec,
        "RouterArgs": spec.RouterSpec,
        "GatewaySettingsArgs": spec.GatewaySpec,
        "GatewayReferenceArgs": spec.GatewayReference,
        "ModelEndpointArgs": spec.ModelEndpoint,
    },
    "addons/arguments.py": {
        "AddonTolerationArgs": spec.Toleration,
        "GpuNodesArgs": spec.GpuNodesSpec,
        "GpuExporterArgs": spec.GpuExporterSpec,
    },
}
"""The generated modules, by path below the package: each class and its model, after the classes that it refers to."""


def generate() -> dict[Path, str]:
    """The text of every generated module, by its path."""
    package = Path(__file__).parent
    return {package / name: _module(classes) for name, classes in MODULES.items()}


def _module(classes: Mapping[str, type[BaseModel]]) -> str:
    names = {model: name for name, model in classes.items()}
    body = "".join(typed_dict(name, model, names) for name, model in classes.items())
    imports = ", ".join(name for name in ("Any", "NotRequired", "TypedDict") if name in body)
    return (
        '"""Public arguments of the components, generated from ``llm_serving.spec``: change the models, then\n'
        'run ``python -m llm_serving.plugin arguments``."""\n\n'
        f"from typing import {imports}\n{body}"
    )


def typed_dict(name: str, model: type[BaseModel], names: Mapping[type[BaseModel], str]) -> str:
    """The class ``name`` for a model; ``names`` are those of the classes that it may refer to.

    Raises:
        KeyError: a field has no docstring, or its model no class.
    """
    hints = get_type_hints(model, include_extras=True)
    descriptions = field_descriptions(model)
    lines = [f"\n\nclass {name}(TypedDict):", *_docstring(inspect.getdoc(model) or ""), ""]
    for field, info in model.model_fields.items():
        type_ = _public_type(hints[field], names)
        lines.append(f"    {field}: {type_ if info.is_required() else f'NotRequired[{type_}]'}")
        lines += _docstring(descriptions[field])
    return "\n".join(lines) + "\n"


def _docstring(text: str) -> Iterator[str]:
    """The first paragraph as a docstring, in the lines in which it is written."""
    first, *more = text.split("\n\n")[0].split("\n")
    *middle, last = [f'    """{first}', *(f"    {line}" for line in more)]
    return iter([*middle, f'{last}"""'])


def field_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings below the fields of a model, and of the models that it extends."""
    described: dict[str, str] = {}
    for class_ in reversed(model.__mro__[: model.__mro__.index(Frozen)] if issubclass(model, Frozen) else [model]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(class_))).body
        assert isinstance(definition, ast.ClassDef)
        described |= {
            field.target.id: inspect.cleandoc(docstring.value.value)
            for field, docstring in zip(definition.body, definition.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(docstring, ast.Expr)
            and isinstance(docstring.value, ast.Constant)
            and isinstance(docstring.value.value, str)
        }
    return described


def _public_type(hint: Any, names: Mapping[type[BaseModel], str]) -> str:
    """A model's annotation as the analyzer of component packages knows types: it has no unions, literals and tuples."""
    if hint == Cidr:
        return "str"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _public_type(arguments[0], names)
    if origin in (Union, UnionType):
        return _public_type(next(argument for argument in arguments if argument is not type(None)), names)
    if origin is Literal:
        return type(arguments[0]).__name__
    if origin is tuple:
        return f"list[{_public_type(arguments[0], names)}]"
    if origin is dict:
        return f"dict[str, {_public_type(arguments[1], names)}]"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return names[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "str"
    return "Any" if hint is Any else hint.__name__

"""What a user sets, as frozen models: the one definition of every field.

The settings of a stack embed these models, the components validate their public arguments into them, and ``planning``
reads them. They check what a field can know of itself; rules across fields live in ``planning.rules``. What only one
cloud has is in a module of its own (``spec.gcp``, ``spec.aws``).
"""

from llm_serving.spec.addons import AddonSource, AddonsSpec, GpuExporterSpec, GpuNodesSpec
from llm_serving.spec.autoscaling import AutoscalingSpec, ScalingPaceSpec, ScheduleSpec
from llm_serving.spec.cache import CacheStorageSpec
from llm_serving.spec.disruption import DrainSpec
from llm_serving.spec.egress import EgressSpec
from llm_serving.spec.engine import EngineSpec
from llm_serving.spec.facts import (
    AttentionKind,
    EncoderFacts,
    ExpertFacts,
    LayerFacts,
    Modality,
    ModelFacts,
    StoredQuantization,
    Task,
)
from llm_serving.spec.gateway import (
    AnswerCacheSpec,
    BreakerSpec,
    CacheScope,
    GatewayLimitsSpec,
    GatewayModelSpec,
    GatewayReplicasSpec,
    GatewaySpec,
    GatewayTimeoutsSpec,
    GuardrailEntity,
    GuardrailsSpec,
    KeySpec,
    LimitsRedisSpec,
    OverloadSpec,
    PostgresSpec,
    PostgresTls,
    RedisSpec,
    RedisStoresSpec,
    RetriesSpec,
    Routing,
)
from llm_serving.spec.gateway_address import (
    AcmeSpec,
    CertificateSecretSpec,
    ExistingEdgeSpec,
    GatewayTlsSpec,
    IssuerSpec,
    LoadBalancerSpec,
)
from llm_serving.spec.gateway_reference import GatewayReference
from llm_serving.spec.hosted import HostedModelSpec, HostedProviderSpec
from llm_serving.spec.image_pull import ImagePullSpec
from llm_serving.spec.launcher import LauncherSpec
from llm_serving.spec.loader import LoaderSpec, Weights
from llm_serving.spec.model import CanaryChoice, ModelSpec, ReleaseChoice, ServiceClass, WarmPoolSpec
from llm_serving.spec.model_endpoint import ModelEndpoint
from llm_serving.spec.pool import (
    RESERVED_MARKETS,
    CapacityEntry,
    ExistingPoolSpec,
    Market,
    Pool,
    PoolSpec,
    SharingSpec,
    SharingStrategy,
)
from llm_serving.spec.prometheus import PrometheusAuthMode, PrometheusAuthSpec
from llm_serving.spec.quantization import CalibrationSpec, QuantizationBase, QuantizationScheme, QuantizationSpec
from llm_serving.spec.release import (
    AdapterSource,
    EngineName,
    EngineRelease,
    ImageReference,
    KvCacheType,
    ModelSource,
    Quantization,
    ReleaseSpec,
    content_hash,
    release_hash,
)
from llm_serving.spec.request_queue import QueueScope, QueueSpec, WebhooksSpec
from llm_serving.spec.router import RouterSpec, RoutingPolicy
from llm_serving.spec.spending import BudgetSpec, PriceSpec
from llm_serving.spec.team import TeamSpec
from llm_serving.spec.timeouts import TimeoutsSpec
from llm_serving.spec.toleration import Toleration

__all__ = [
    "RESERVED_MARKETS",
    "AcmeSpec",
    "AdapterSource",
    "AddonSource",
    "AddonsSpec",
    "AnswerCacheSpec",
    "AttentionKind",
    "AutoscalingSpec",
    "BreakerSpec",
    "BudgetSpec",
    "CacheScope",
    "CacheStorageSpec",
    "CalibrationSpec",
    "CanaryChoice",
    "CapacityEntry",
    "CertificateSecretSpec",
    "DrainSpec",
    "EgressSpec",
    "EncoderFacts",
    "EngineName",
    "EngineRelease",
    "EngineSpec",
    "ExistingEdgeSpec",
    "ExistingPoolSpec",
    "ExpertFacts",
    "GatewayLimitsSpec",
    "GatewayModelSpec",
    "GatewayReference",
    "GatewayReplicasSpec",
    "GatewaySpec",
    "GatewayTimeoutsSpec",
    "GatewayTlsSpec",
    "GpuExporterSpec",
    "GpuNodesSpec",
    "GuardrailEntity",
    "GuardrailsSpec",
    "HostedModelSpec",
    "HostedProviderSpec",
    "ImagePullSpec",
    "ImageReference",
    "IssuerSpec",
    "KeySpec",
    "KvCacheType",
    "LauncherSpec",
    "LayerFacts",
    "LimitsRedisSpec",
    "LoadBalancerSpec",
    "LoaderSpec",
    "Market",
    "Modality",
    "ModelEndpoint",
    "ModelFacts",
    "ModelSource",
    "ModelSpec",
    "OverloadSpec",
    "Pool",
    "PoolSpec",
    "PostgresSpec",
    "PostgresTls",
    "PriceSpec",
    "PrometheusAuthMode",
    "PrometheusAuthSpec",
    "Quantization",
    "QuantizationBase",
    "QuantizationScheme",
    "QuantizationSpec",
    "QueueScope",
    "QueueSpec",
    "RedisSpec",
    "RedisStoresSpec",
    "ReleaseChoice",
    "ReleaseSpec",
    "RetriesSpec",
    "RouterSpec",
    "Routing",
    "RoutingPolicy",
    "ScalingPaceSpec",
    "ScheduleSpec",
    "ServiceClass",
    "SharingSpec",
    "SharingStrategy",
    "StoredQuantization",
    "Task",
    "TeamSpec",
    "TimeoutsSpec",
    "Toleration",
    "WarmPoolSpec",
    "WebhooksSpec",
    "Weights",
    "content_hash",
    "release_hash",
]

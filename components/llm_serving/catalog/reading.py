"""Reads ``data/`` once and answers look-ups. Nothing is computed here but the joins between the files."""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from llm_serving.arguments import Frozen
from llm_serving.catalog.errors import UnknownFact
from llm_serving.catalog.models import (
    Accelerator,
    Architecture,
    Device,
    EksVersion,
    EngineFeature,
    EngineFlag,
    EngineImage,
    EngineSetting,
    Feature,
    MachineType,
    MigProfile,
    Price,
    QuantizationQuality,
    QuotaMetric,
    StartupEstimate,
    StartupStage,
)
from llm_serving.errors import nearest
from llm_serving.spec import EngineName, Market, ModelFacts, ModelSource, Quantization

CLOUDS = ("gcp", "aws")
"""Clouds that sell machines. ``existing``, for existing clusters, sells none."""

ANY = "any"
"""In ``startup.csv``: a row that holds on every cloud, or on every device; in ``eks_addons.csv``: for every version."""

F = TypeVar("F", bound=Frozen)
T = TypeVar("T")


def accelerator(name: str) -> Accelerator:
    """The accelerator of that name.

    Raises:
        UnknownFact: with the nearest names.
    """
    return _lookup("accelerator", name, _accelerators())


def accelerators() -> tuple[Accelerator, ...]:
    """Every accelerator, smallest marketed memory first; those without memory of their own before all others."""
    return tuple(sorted(_accelerators().values(), key=lambda gpu: (gpu.memory_gb or 0, gpu.name)))


def mig_profiles(accelerator: str) -> Mapping[str, MigProfile]:
    """The kinds of instances that MIG divides a GPU into, by name; empty for one without MIG."""
    return _mig_profiles().get(accelerator, {})


def machine_type(cloud: str, name: str) -> MachineType:
    """A cloud's machine type.

    Raises:
        UnknownFact: with the nearest names of the same cloud; a cloud that sells no machines has no names.
    """
    return _lookup(f"{cloud} machine type", name, _machine_types().get(cloud, {}))


def machine_types(cloud: str) -> tuple[MachineType, ...]:
    """Every machine type of a cloud; none for ``existing`` and for clouds that the catalog does not know."""
    return tuple(_machine_types().get(cloud, {}).values())


def price(cloud: str, machine: str, region: str) -> Price | None:
    """Price of a machine in a region, or ``None`` where none is recorded. Each of its cells may be
    unknown."""
    return _prices().get((cloud, machine, region))


def prices(cloud: str, machine: str) -> tuple[Price, ...]:
    """Prices of a machine in all regions where one is recorded."""
    return tuple(entry for key, entry in _prices().items() if key[:2] == (cloud, machine))


def architecture(name: str) -> Architecture:
    """The model architecture of that name.

    Raises:
        UnknownFact: with the nearest names.
    """
    return _lookup("architecture", name, _architectures())


def model_facts(source: ModelSource) -> ModelFacts:
    """What is known of the shape of a release's model: its own facts, or the row of the catalog that it names.

    Raises:
        UnknownFact: it names a row that is not there.
    """
    return source.facts if source.facts is not None else architecture(str(source.architecture)).facts


def architectures() -> tuple[Architecture, ...]:
    """Every architecture, by name."""
    return tuple(sorted(_architectures().values(), key=lambda model: model.name))


def device(name: str) -> Device:
    """What an engine takes of its host on a device.

    Raises:
        UnknownFact: for a device without a value.
    """
    return _lookup("device", name, _devices())


def engine_image(repository: str) -> EngineImage | None:
    """What is known of the image of a repository, by the last part of its name; ``None`` where nothing is."""
    return _engine_images().get(repository.rpartition("/")[2])


def quantization_quality(repository: str, quantization: Quantization) -> tuple[QuantizationQuality, ...]:
    """What is published on the quality of a quantized model: of this very checkpoint, else of another one in the same
    quantization that was made of these weights; nothing where nobody has measured it."""
    rows = [row for row in _quantization_quality() if row.quantization is quantization]
    of_checkpoint = tuple(row for row in rows if row.checkpoint == repository)
    return of_checkpoint or tuple(row for row in rows if repository in row.base)


def engine_features(engine: EngineName) -> Mapping[Feature, EngineFeature]:
    """What an engine can do and what it cannot, every feature."""
    return _engine_features()[engine]


def engine_versions(engine: EngineName) -> tuple[str, ...]:
    """Versions of an engine whose flags are recorded; empty for engines whose flags are not."""
    return tuple(version for known, version in _engine_flags() if known is engine)


def engine_flags(engine: EngineName, version: str) -> Mapping[str, EngineFlag]:
    """Every flag of an engine, by name; empty where none is recorded."""
    return _engine_flags().get((engine, version), {})


def engine_settings(engine: EngineName) -> Mapping[str, EngineSetting]:
    """The flags of an engine that something else decides, by name."""
    return _engine_settings().get(engine, {})


def quota_metric(cloud: str, series: str, market: Market) -> QuotaMetric | None:
    """The quota that machines of a series count against, or ``None`` where none is known."""
    return _quota_metrics().get((cloud, series, market))


def startup(cloud: str, device: str) -> Mapping[StartupStage, Mapping[str, StartupEstimate]]:
    """What is known of the stages of a cold start on a cloud and a device, by stage and variant, the cautious variant
    first. A stage that the device does not have is not there.

    Raises:
        UnknownFact: for a cloud on which no start of a node is known.
    """
    rows = _startup_estimates()
    clouds = {row.cloud for row in rows if row.stage is StartupStage.NODE_START} - {ANY}
    if cloud not in clouds:
        raise UnknownFact("startup of cloud", cloud, nearest(cloud, clouds))
    estimates: dict[StartupStage, dict[str, StartupEstimate]] = {}
    for row in rows:
        if row.cloud not in (cloud, ANY) or row.device not in (device, ANY):
            continue
        variants = estimates.setdefault(row.stage, {})
        known = variants.get(row.variant)
        if known is None or _is_nearer(row, known):
            variants[row.variant] = row
    return estimates


def _is_nearer(row: StartupEstimate, known: StartupEstimate) -> bool:
    """A row that holds in fewer places goes before one that holds in more."""
    return (row.cloud != ANY, row.device != ANY) > (known.cloud != ANY, known.device != ANY)


def regions(cloud: str) -> frozenset[str]:
    """Regions that occur in zones or prices. Others exist; nothing is known of them here."""
    of_zones = {row["region"] for row in _rows("zones.csv") if row["cloud"] == cloud}
    return frozenset(of_zones | {key[2] for key in _prices() if key[0] == cloud})


def regions_with_offers(cloud: str) -> frozenset[str]:
    """Regions of which it is known which machines they offer."""
    return frozenset(region for machine in machine_types(cloud) for region in machine.regions)


def _lookup(kind: str, name: str, known: Mapping[str, T]) -> T:
    try:
        return known[name]
    except KeyError:
        raise UnknownFact(kind, name, nearest(name, known)) from None


def eks_addons(kubernetes: str) -> Mapping[str, str]:
    """Version of each of Amazon's add-ons for a cluster of a Kubernetes version such as ``1.35``, by name.

    Raises:
        UnknownFact: with the nearest version whose add-ons are known.
    """
    common, others = _eks_addons().get(ANY, {}), {key: own for key, own in _eks_addons().items() if key != ANY}
    return {**common, **_lookup("Kubernetes version of EKS", kubernetes, others)}


def eks_addon_versions() -> tuple[str, ...]:
    """Kubernetes versions of EKS whose add-ons are known."""
    return tuple(version for version in _eks_addons() if version != ANY)


def eks_version(kubernetes: str) -> EksVersion | None:
    """Until when EKS supports a Kubernetes version; ``None`` where that is not known."""
    rows = (_model(EksVersion, row) for row in _rows("eks_versions.csv"))
    return next((row for row in rows if row.version == kubernetes), None)


def eks_registry(region: str) -> str:
    """Number of the account whose registry has the images of Amazon's add-ons in a region."""
    accounts = {row["region"]: row["account"] for row in _rows("eks_registries.csv")}
    return accounts.get(region, accounts["other"])


@cache
def _accelerators() -> Mapping[str, Accelerator]:
    def sold_by(name: str) -> tuple[str, ...]:
        return tuple(
            cloud
            for cloud in CLOUDS
            if any(machine.accelerator == name for machine in _machine_types()[cloud].values())
        )

    return _by_name(
        _model(
            Accelerator,
            row,
            accelerates=_listed(row["accelerates"]),
            weight_only=_listed(row["weight_only"]),
            sold_by=sold_by(row["name"]),
        )
        for row in _rows("accelerators.csv")
    )


@cache
def _mig_profiles() -> Mapping[str, Mapping[str, MigProfile]]:
    profiles: dict[str, dict[str, MigProfile]] = {}
    for row in _rows("mig_profiles.csv"):
        entry = _model(MigProfile, row)
        profiles.setdefault(entry.accelerator, {})[entry.profile] = entry
    return profiles


@cache
def _machine_types() -> Mapping[str, Mapping[str, MachineType]]:
    zones: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in _rows("zones.csv"):
        key = (row["cloud"], row["machine_type"])
        zones[key] = (*zones.get(key, ()), *_listed(row["zones"]))
    offers = {("aws", row["machine_type"]): row for row in _rows("ec2_offers.csv")}
    efa = {
        ("aws", row["machine_type"]): {"efa_interfaces": row["interfaces"], "efa_first_card": row["first_card"]}
        for row in _rows("efa.csv")
    }
    machines = [
        _model(
            MachineType,
            row,
            notes=row["notes"],
            zones=zones.get((row["cloud"], row["name"]), ()),
            **_offers(offers.get((row["cloud"], row["name"]), {})),
            **efa.get((row["cloud"], row["name"]), {}),
        )
        for row in _rows("machine_types.csv")
    ]
    return {cloud: _by_name(m for m in machines if m.cloud == cloud) for cloud in CLOUDS}


def _offers(row: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Terms and regions of a machine; nothing where they are not known."""
    return {column: _listed(row[column]) for column in ("markets", "regions") if column in row}


@cache
def _prices() -> Mapping[tuple[str, str, str], Price]:
    entries = (_model(Price, row) for row in _rows("prices.csv"))
    return {(entry.cloud, entry.machine_type, entry.region): entry for entry in entries}


@cache
def _architectures() -> Mapping[str, Architecture]:
    return _by_name(_model(Architecture, row) for row in _rows("architectures.csv"))


@cache
def _engine_images() -> Mapping[str, EngineImage]:
    entries = (_model(EngineImage, row) for row in _rows("engine_images.csv"))
    return {entry.image: entry for entry in entries}


@cache
def _quantization_quality() -> tuple[QuantizationQuality, ...]:
    rows = _rows("quantization_quality.csv")
    return tuple(_model(QuantizationQuality, row, base=tuple(row["base"].split())) for row in rows)


@cache
def _engine_features() -> Mapping[EngineName, Mapping[Feature, EngineFeature]]:
    features: dict[EngineName, dict[Feature, EngineFeature]] = {}
    for row in _rows("engine_features.csv"):
        entry = _model(EngineFeature, row, why=row["why"])
        features.setdefault(entry.engine, {})[entry.feature] = entry
    return features


@cache
def _engine_flags() -> Mapping[tuple[EngineName, str], Mapping[str, EngineFlag]]:
    flags: dict[tuple[EngineName, str], dict[str, EngineFlag]] = {}
    for row in _rows("engine_flags.csv"):
        entry = _model(EngineFlag, row, choices=_listed(row["choices"]), bounds=_listed(row["bounds"]))
        flags.setdefault((entry.engine, entry.version), {})[entry.flag] = entry
    return flags


@cache
def _engine_settings() -> Mapping[EngineName, Mapping[str, EngineSetting]]:
    settings: dict[EngineName, dict[str, EngineSetting]] = {}
    for row in _rows("engine_settings.csv"):
        entry = _model(EngineSetting, row)
        settings.setdefault(entry.engine, {})[entry.flag] = entry
    return settings


@cache
def _devices() -> Mapping[str, Device]:
    return {entry.device: entry for entry in (_model(Device, row) for row in _rows("devices.csv"))}


@cache
def _quota_metrics() -> Mapping[tuple[str, str, Market], QuotaMetric]:
    entries = (_model(QuotaMetric, row, code=row["code"]) for row in _rows("quotas.csv"))
    return {(entry.cloud, entry.series, entry.market): entry for entry in entries}


@cache
def _eks_addons() -> Mapping[str, Mapping[str, str]]:
    versions: dict[str, dict[str, str]] = {}
    for row in _rows("eks_addons.csv"):
        versions.setdefault(row["kubernetes"], {})[row["addon"]] = row["version"]
    return versions


@cache
def _startup_estimates() -> tuple[StartupEstimate, ...]:
    return tuple(_model(StartupEstimate, row) for row in _rows("startup.csv"))


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    """Rows of a data file, without its comment lines."""
    text = (files("llm_serving.catalog") / "data" / name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def _model(model: type[F], row: dict[str, str], **replaced: Any) -> F:
    """A row as a model: an empty cell is ``None``; ``replaced`` are the columns that are not scalars."""
    return model.model_validate({key: value or None for key, value in row.items()} | replaced)


def _by_name(items: Iterable[T]) -> Mapping[str, T]:
    return {item.name: item for item in items}  # type: ignore[attr-defined]


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else ()

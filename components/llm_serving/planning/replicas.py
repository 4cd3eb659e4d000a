"""How many instances each release of a model gets, and under which name they run."""

from dataclasses import dataclass
from enum import StrEnum

from llm_serving.spec import AutoscalingSpec, ModelSpec, ReleaseChoice


class Role(StrEnum):
    """What a release is to a stack."""

    STABLE = "stable"
    CANARY = "canary"
    PREVIOUS = "previous"


@dataclass(frozen=True)
class ReleaseReplicas:
    """The instances of one release.

    Attributes:
        role: what the release is to the stack.
        version: the release's version.
        name: name of its objects.
        replicas: instances where their number is fixed; those to start with where it is not.
        base: of these, instances on capacity that is not taken away.
        autoscaling: bounds of all instances together, base included; ``None`` where their number is fixed.
    """

    role: Role
    version: str
    name: str
    replicas: int
    base: int
    autoscaling: AutoscalingSpec | None

    @property
    def fewest(self) -> int:
        """Instances at least, base included."""
        return self.replicas if self.autoscaling is None else self.autoscaling.min

    @property
    def most(self) -> int:
        """Instances at most, base included."""
        return self.replicas if self.autoscaling is None else self.autoscaling.max


def object_name(model: str, version: str) -> str:
    """Name of a release's objects: ``qwen3-8b-1-4-0``. Kubernetes allows no dot in the name of a Service."""
    return f"{model}-{version.lower().replace('.', '-')}"


def placeholder_name(model: str) -> str:
    """Name of the Deployment that holds nodes ready for a model."""
    return f"{model}-placeholder"


def releases_of(model: ModelSpec) -> tuple[tuple[Role, str], ...]:
    """What each served release is to the stack, and its version, the stable one first."""
    releases = [(Role.STABLE, model.releases.stable)]
    if model.releases.canary is not None:
        releases.append((Role.CANARY, model.releases.canary.release))
    if model.releases.previous is not None:
        releases.append((Role.PREVIOUS, model.releases.previous))
    return tuple(releases)


NOT_IN_FORCE = "not in force: no gateway"
"""Of a canary's weight where a stack has no gateway, which splits requests: the model's Service leads to the stable
release alone, and a canary answers at its own address."""


def describe_role(choice: ReleaseChoice, role: Role, *, has_gateway: bool) -> str:
    """A release's part as people read it; of a canary with the weight that settings give it, and whether that holds."""
    if role is not Role.CANARY or choice.canary is None:
        return role.value
    return f"{role.value}, weight {choice.canary.weight} %" + ("" if has_gateway else f" {NOT_IN_FORCE}")


def plan_replicas(model: ModelSpec) -> tuple[ReleaseReplicas, ...]:
    """The instances of every release of ``model``.

    A canary grows like the stable release, from its own number. The previous release keeps one instance, which is what
    a way back needs first; it grows once it is stable again. The base is the stable release's.

    Of a model that may sleep all releases sleep, and wake together: a canary keeps no one awake, and while the model
    answers there is a way back. A new release starts with an instance all the same, which shows that it can answer.
    """
    canary = model.releases.canary
    first = {
        Role.STABLE: max(1, model.fewest_replicas),
        Role.CANARY: 1 if canary is None else canary.replicas,
        Role.PREVIOUS: 1,
    }
    return tuple(
        ReleaseReplicas(
            role=role,
            version=version,
            name=object_name(model.name, version),
            replicas=first[role],
            base=(model.on_demand_base or 0) if role is Role.STABLE else 0,
            autoscaling=_bounds(model, role, first[role]),
        )
        for role, version in releases_of(model)
    )


@dataclass(frozen=True)
class ReplicaRange:
    """Instances at the fewest and at the most."""

    fewest: int
    most: int


def total_replicas(model: ModelSpec) -> ReplicaRange:
    """The instances of all releases of ``model`` together."""
    releases = plan_replicas(model)
    return ReplicaRange(fewest=sum(one.fewest for one in releases), most=sum(one.most for one in releases))


def _bounds(model: ModelSpec, role: Role, first: int) -> AutoscalingSpec | None:
    """Schedules hold for the stable release alone: they say how much the model is used."""
    spec = model.autoscaling
    if spec is None or role is Role.STABLE:
        return spec
    most = first if role is Role.PREVIOUS else max(spec.max, first)
    return spec.model_copy(update={"min": 0 if spec.may_sleep else first, "max": most, "schedules": ()})

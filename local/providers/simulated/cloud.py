"""The state that all resources of one simulated cloud share, and what it refuses by its records alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from local.providers.properties import Properties
from local.providers.provider import CloudError, Engine
from local.providers.schema import ResourceType, Sdk
from local.providers.simulated.types import CloudType, find
from local.providers.store import Phase, Record, Store
from local.state_folder import StateFolder

T = TypeVar("T", bound=CloudType)


@dataclass
class Cloud(ABC, Generic[T]):
    """Records, settings and types.

    Attributes:
        name: of the plugin, for example ``gcp``.
        package: import name of the SDK.
        places: settings of the provider that say where a resource is, where it does not say so itself.
        state_folder: folders of this machine's clouds.
        engine: messages to the user.
        settings: the provider's settings.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    places: ClassVar[tuple[str, ...]]

    state_folder: StateFolder
    engine: Engine
    settings: dict[str, Any] = field(default_factory=dict)
    _stores: dict[Path, Store] = field(default_factory=dict)

    @cached_property
    def sdk(self) -> Sdk:
        """What the SDK knows."""
        return Sdk(self.package)

    @property
    def store(self) -> Store:
        """The records."""
        return self.store_in(self.state_folder.clouds / self.name)

    def store_in(self, folder: Path) -> Store:
        """The records in a folder; one object a folder, which reads the key of its secrets once."""
        return self._stores.setdefault(folder, Store(folder))

    def schema(self, token: str) -> ResourceType | None:
        """The SDK's view of a type."""
        return self.sdk.resource(token)

    @abstractmethod
    def type(self, token: str) -> T:
        """Our view of a type that the SDK knows."""

    @abstractmethod
    def placed(self, schema: ResourceType, inputs: Mapping[str, Any]) -> Properties:
        """``inputs`` in the clear, with the place filled in from the provider's settings.

        Raises:
            CloudError: nobody says where the resource is.
        """

    @abstractmethod
    def look_up(self, token: str, reference: str, place: Mapping[str, Any] | None = None) -> Record | None:
        """The resource of a type that a reference of a resource in ``place`` means."""

    @abstractmethod
    def refers(self, reference: str, user: Record, record: Record) -> bool:
        """Whether a reference of ``user`` means ``record``."""

    # What it answers

    @abstractmethod
    def missing(self, type: T, path: str, reference: str, token: str) -> CloudError:
        """A resource refers to another of type ``token`` that is not there."""

    @abstractmethod
    def in_use(self, type: T, record: Record, user: Record) -> CloudError:
        """A resource cannot go because another one uses it."""

    @abstractmethod
    def gone(self, id: str) -> CloudError:
        """A resource is to be changed that is not there."""

    @abstractmethod
    def taken(self, type: T, urn: str, record: Record) -> CloudError:
        """``urn`` is to be made under an id that ``record`` has."""

    # Records

    def ready(self, token: str) -> Iterator[Record]:
        """The resources of a type that exist."""
        return (record for record in self.store.all(token) if record.phase in (Phase.READY, Phase.DELETING))

    def is_foreign(self, reference: str, known: Mapping[str, Any]) -> bool:
        """Whether a reference leaves what Pulumi manages here."""
        return False

    def require(self, type: T, known: Mapping[str, Any]) -> None:
        """Refuse references to what does not exist.

        Raises:
            CloudError: as the API answers.
        """
        for pattern, token in type.needs.items():
            for path, value in find(known, pattern):
                if not isinstance(value, str) or self.is_foreign(value, known):
                    continue
                if self.look_up(token, value, known) is None:
                    raise self.missing(type, path, value, token)

    def unused(self, type: T, record: Record) -> None:
        """Refuse to delete what something else needs.

        Raises:
            CloudError: as the API answers.
        """
        for user in type.used_by:
            if user.unless and record.outputs.get(user.unless):
                continue
            for other in self.ready(user.type):
                for _, value in find(other.inputs, user.property):
                    if isinstance(value, str) and self.refers(value, other, record):
                        raise self.in_use(type, record, other)

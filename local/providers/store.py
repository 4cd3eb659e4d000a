"""The records of a simulated cloud: what exists, who made it, and what was under way when a process died.

One JSON file a resource under ``<state>/clouds/<cloud>/resources/<type>/``. Files are replaced atomically, so
a reader sees the old record or the new one, also after SIGKILL at any moment; changes are made under a lock
that is held by one process at a time and released by the kernel when that process dies. Several plugins (two
stacks at once) share one folder.

A record is a journal too: it says ``creating`` before anything is made and ``ready`` after, so that a
half-made resource can be told from a finished one (:class:`Phase`).

**A deliberate difference from the real clouds.** When an engine is killed between the moment a cloud has made
something and the moment Pulumi has written it down, the real cloud answers the next create with "already
exists" and somebody has to run ``pulumi import``. Here the next create *by the same URN* adopts what it finds
(:meth:`Store.begin`): the run converges, with no duplicate and nothing lost. A create by any other URN, or by
one whose resource Pulumi knows (a replacement under the same name), is refused as in the real cloud.

Secrets are never written: in their place stands a keyed hash (the key lies beside the records, readable by
its owner only), which tells whether a value changed and nothing else. What Pulumi remembers itself is put
back when it asks.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from local.cluster.processes import Process
from local.providers.properties import UNKNOWN, Properties, Secret, Special, reveal, walk
from stacks.files import file_locked, read_json, write_atomically, write_json

_HIDDEN = "$secret"
_SPECIAL = "$special"
CHANGED_ELSEWHERE = "[a secret that Pulumi does not know: it was changed elsewhere]"


class Phase(StrEnum):
    """How far an operation got."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"
    ABANDONED = "abandoned"  # Pulumi has forgotten it, and the cloud keeps it for ever


@dataclass(frozen=True)
class Record:
    """One resource.

    Attributes:
        token: type.
        id: id in the cloud; unique within the type.
        urn: who made it.
        phase: how far the last operation got.
        inputs: what was asked for; secrets are hashes.
        outputs: what it became; secrets are hashes.
        owner: the process that is at work on it.
        changed: when the record was written, in seconds since 1970.
    """

    token: str
    id: str
    urn: str
    phase: Phase
    inputs: Properties
    outputs: Properties
    owner: Process | None = None
    changed: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether a living process other than this one is at work on it."""
        return (
            self.phase in (Phase.CREATING, Phase.DELETING)
            and self.owner is not None
            and self.owner.pid != os.getpid()
            and self.owner.alive()
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return vars(self) | {"phase": str(self.phase), "owner": self.owner.to_json() if self.owner else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Record":
        """Read back what :meth:`to_json` wrote."""
        return cls(**{**data, "phase": Phase(data["phase"]), "owner": Process.from_json(data["owner"])})


class AlreadyExistsError(Exception):
    """A create hit a resource that is there and is not the caller's to adopt."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.id} already exists")
        self.record = record


class Store:
    """The records of one cloud.

    Args:
        directory: the cloud's folder; made when something is written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep all other writers out, in this process and others. Not to be nested, and never held for long."""
        with file_locked(self.directory / ".lock"):
            yield

    def get(self, token: str, id: str) -> Record | None:
        """The record of a resource, or ``None`` where there is none."""
        data = read_json(self._path(token, id))
        return None if data is None else Record.from_json(data)

    def all(self, token: str | None = None) -> list[Record]:
        """The records of one type, or all, in the order of their files."""
        root = self.directory / "resources"
        folders = [root / _slug(token)] if token else sorted(root.glob("*"))
        files = (read_json(path) for folder in folders for path in sorted(folder.glob("[!.]*.json")))
        return [Record.from_json(data) for data in files if data is not None]

    def made_by(self, token: str, urn: str) -> list[Record]:
        """The records of resources that one URN made."""
        return [record for record in self.all(token) if record.urn == urn]

    def begin(
        self,
        token: str,
        id: str,
        urn: str,
        inputs: Mapping[str, Any],
        *,
        adoptable: bool = True,
    ) -> Record | None:
        """Write down that a resource is about to be made.

        Args:
            token: type.
            id: the id that it will have.
            urn: who makes it.
            inputs: what is asked for.
            adoptable: the caller would adopt what it made itself; false where Pulumi knows of that already,
                so that it must be something else (a replacement under the same name).

        Returns:
            The record of an earlier attempt of the same URN, or ``None`` where this is the first.

        Raises:
            AlreadyExistsError: the id is taken by somebody else, or another process is at work on it right
                now.
        """
        hidden_inputs = self.hide(inputs)
        with self.lock():
            earlier = self.get(token, id)
            if earlier and (not adoptable or earlier.urn != urn or earlier.busy or earlier.phase is Phase.ABANDONED):
                raise AlreadyExistsError(earlier)
            outputs = earlier.outputs if earlier else {}
            self._write(Record(token, id, urn, Phase.CREATING, hidden_inputs, outputs))
            return earlier

    def finish(self, token: str, id: str, urn: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Write down what a resource is now."""
        record = Record(token, id, urn, Phase.READY, self.hide(inputs), self.hide(outputs))
        with self.lock():
            self._write(record)

    def deleting(self, token: str, id: str) -> None:
        """Write down that a resource is about to be deleted."""
        with self.lock():
            record = self.get(token, id)
            if record:
                self._write(replace(record, phase=Phase.DELETING))

    def remove(self, token: str, id: str) -> None:
        """Forget a resource; one that is not there is no error."""
        with self.lock():
            self._path(token, id).unlink(missing_ok=True)

    def change(self, record: Record) -> None:
        """Replace a record as it is, for what changes on the cloud's own account."""
        with self.lock():
            self._write(record)

    def hide(self, value: Any) -> Any:
        """``value`` with a keyed hash in the place of each secret; an unknown value becomes ``None``."""

        def step(item: Any) -> Any:
            if isinstance(item, Secret):
                return {_HIDDEN: self._hash(item.value)}
            if isinstance(item, Special):
                return {_SPECIAL: item.signature, "fields": dict(item.fields)}
            return None if item is UNKNOWN else item

        return walk(value, step)

    def show(self, value: Any, known: Any) -> Any:
        """``value`` as it was stored, with secrets taken from ``known`` where they are still the same."""
        if isinstance(value, Mapping):
            if set(value) == {_HIDDEN}:
                candidate = known.value if isinstance(known, Secret) else known
                return Secret(candidate if self._hash(candidate) == value[_HIDDEN] else CHANGED_ELSEWHERE)
            if set(value) == {_SPECIAL, "fields"}:
                return Special(value[_SPECIAL], value["fields"])
            inner = known.value if isinstance(known, Secret) else known
            members = inner if isinstance(inner, Mapping) else {}
            return {key: self.show(item, members.get(key)) for key, item in value.items()}
        if isinstance(value, list):
            inner = known.value if isinstance(known, Secret) else known
            items = inner if isinstance(inner, list) and len(inner) == len(value) else [None] * len(value)
            return [self.show(item, candidate) for item, candidate in zip(value, items, strict=True)]
        return value

    @cached_property
    def _key(self) -> bytes:
        path = self.directory / "secrets.key"
        with self.lock():
            with contextlib.suppress(FileNotFoundError):
                return bytes.fromhex(path.read_text())
            key = secrets.token_bytes(32)
            write_atomically(path, key.hex(), mode=0o600)
            return key

    def _hash(self, value: Any) -> str:
        text = json.dumps(reveal(value), sort_keys=True, default=repr)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _write(self, record: Record) -> None:
        at_work = record.phase in (Phase.CREATING, Phase.DELETING)
        owner = Process.of(os.getpid()) if at_work else None
        write_json(self._path(record.token, record.id), replace(record, owner=owner, changed=time.time()).to_json())

    def _path(self, token: str, id: str) -> Path:
        digest = hashlib.sha256(id.encode()).hexdigest()[:12]
        readable = _slug(id.rpartition("/")[2])[:60]
        return self.directory / "resources" / _slug(token) / f"{readable}-{digest}.json"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", ".", text).strip(".") or "_"

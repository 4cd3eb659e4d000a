"""Server-side apply of one resource: for real, and on trial as a preview asks for it.

Owns: whose an object is that is there already, conflicts with other managers, patience with what comes a moment after
its cause. Leaves alone: waiting for readiness (``waiting.py``), the words of refusals (``refusals.py``).
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from local.cluster import rest
from local.providers.kubernetes import ignoring, objects, refusals
from local.providers.kubernetes.kinds import Kind
from local.providers.kubernetes.readiness import DEFAULT_SECONDS
from local.providers.kubernetes.waiting import StillThereError, Waiter
from local.providers.provider import CloudError

Object = dict[str, Any]

_RETRY_SECONDS = 15.0
"""How long the API server may take to serve a new definition or to make a namespace's service account."""
_LONGEST_NAME = 54
"""Of a name, so that the digits of another fit behind it: names of labels' values have 63 characters at most."""


@dataclass(frozen=True)
class Applier:
    """Applies one resource.

    Args:
        waiter: on the API server that it is applied to.
        subject: the resource, as the user knows it.
        manager: who owns its fields.
        force: take fields over from other managers.
        upsert: take objects over that somebody else made.
        tell: called with what the user should know.
    """

    waiter: Waiter
    subject: str
    manager: str
    force: bool
    upsert: bool
    tell: Callable[[str], None]

    @property
    def _client(self) -> rest.Kubernetes:
        return self.waiter.client

    def create(self, kind: Kind, body: Object) -> Object:
        """Apply an object that is new; an earlier one of its name that is on its way out goes first.

        Raises:
            CloudError: refused, or it belongs to somebody else.
        """
        live = self._there(kind, body)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            try:
                self.waiter.until_gone(live, DEFAULT_SECONDS)
            except StillThereError as error:
                raise CloudError(f"an earlier object of the same name has to go first: {error}") from None
        elif live is not None:
            self._refuse_foreign(kind, live)
        return self.apply(body)

    def update(self, kind: Kind, body: Object, ignored: Sequence[str]) -> Object:
        """Apply an object that exists.

        Args:
            kind: of the object.
            body: the object as the inputs have it.
            ignored: property paths that the program leaves to others.

        Raises:
            CloudError: refused.
        """
        try:
            body = self._settled(kind, body, ignored)
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._told("read", error, body) from None
        return self.apply(body)

    def apply(self, body: Object) -> Object:
        """Apply, and be patient with what comes a moment after its cause.

        Raises:
            CloudError: refused.
        """
        force, end = self.force, time.monotonic() + _RETRY_SECONDS
        while True:
            try:
                return self._apply(body, force=force)
            except rest.UnknownKindError as error:
                problem: Exception = error
            except rest.ApiError as error:
                if not force and refusals.theirs_to_take(error):
                    fields = [field for names in refusals.owners(error).values() for field in names]
                    self.tell(f"takes back {', '.join(fields)} (changed with kubectl)")
                    force = True
                    continue
                if not refusals.passes(error):
                    raise self._told("apply", error, body) from None
                problem = error
            except rest.UnreachableError as error:
                raise self._told("apply", error, body) from None
            if time.monotonic() > end or self.waiter.cancelled.wait(0.3):
                raise self._told("apply", problem, body)

    def preview(self, kind: Kind, body: Object, *, new: bool, ignored: Sequence[str] = ()) -> Object | None:
        """What the API server would store; ``None`` where it cannot be asked yet.

        Args:
            kind: of the object.
            body: the object as the inputs have it.
            new: it does not exist yet.
            ignored: property paths that the program leaves to others.

        Raises:
            CloudError: it would refuse.
        """
        try:
            if not new:
                return self._try(self._settled(kind, body, ignored))
            live = self._there(kind, body)
            if live is None:
                return self._try(body)
            if live["metadata"].get("deletionTimestamp"):
                return None
            self._refuse_foreign(kind, live)
            return self._try_in_its_place(body)
        except (rest.UnknownKindError, rest.UnreachableError):
            return None
        except rest.ApiError as error:
            if error.status == 404 or refusals.passes(error):  # its namespace is about to be made
                return None
            raise self._told("preview", error, body) from None

    def immutable_fields(self, body: Object) -> list[str]:
        """The fields of which the API server says that they cannot change."""
        try:
            self._apply(body, force=True, dry_run=True)
        except rest.ApiError as error:
            return refusals.immutable_fields(error)
        except (rest.UnknownKindError, rest.UnreachableError):
            pass
        return []

    def let_go(self, kind: Kind, id: str) -> None:
        """Give up the fields of a patch; the object stays with its owner."""
        namespace, name = objects.split_identity(id)
        if self._client.find(kind.api_version, kind.kind, name, namespace) is None:
            return
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        self._apply({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}, force=False)

    def _settled(self, kind: Kind, body: Object, ignored: Sequence[str]) -> Object:
        if not ignored:
            return body
        meta = body["metadata"]
        live = self._client.find(kind.api_version, kind.kind, meta["name"], meta.get("namespace"))
        return body if live is None else ignoring.settled(body, live, self.manager, ignored)

    def _apply(self, body: Object, *, force: bool, dry_run: bool = False) -> Object:
        if not body["metadata"].get("name"):  # generateName cannot be applied
            return self._client.create(body, dry_run=dry_run)
        return self._client.apply(body, force=force, dry_run=dry_run, manager=self.manager)

    def _try(self, body: Object) -> Object:
        try:
            return self._apply(body, force=self.force, dry_run=True)
        except rest.ApiError as error:
            if not refusals.theirs_to_take(error):
                raise
            return self._apply(body, force=True, dry_run=True)

    def _try_in_its_place(self, body: Object) -> Object:
        """Try a replacement whose predecessor is still there: under another name where the fields that made it one
        cannot change.
        """
        try:
            return self._try(body)
        except rest.ApiError as error:
            if not refusals.immutable_fields(error):
                raise
        meta = body["metadata"]
        other = f"{meta['name'][:_LONGEST_NAME]}-{hashlib.sha256(meta['name'].encode()).hexdigest()[:8]}"
        found = self._apply({**body, "metadata": {**meta, "name": other}}, force=True, dry_run=True)
        return {**found, "metadata": {**found["metadata"], "name": meta["name"]}}

    def _there(self, kind: Kind, body: Object) -> Object | None:
        """The object where there is one already; a patch is meant for one."""
        meta = body["metadata"]
        if kind.patch or not meta.get("name"):
            return None
        try:
            return self._client.find(kind.api_version, kind.kind, meta["name"], meta.get("namespace"))
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._told("read", error, body) from None

    def _refuse_foreign(self, kind: Kind, live: Object) -> None:
        """An object that is there already belongs to somebody, unless an interrupted update of ours made it."""
        if objects.managed_by(live, self.manager) or self.upsert:
            return
        raise CloudError(
            f"resource {objects.identity(live)!r} was not created: {kind.kind} {live['metadata']['name']!r} already "
            "exists and was not made by this resource. Import it, give this one another name, or let it be taken over "
            "(upsertExistingObjects)",
            grpc.StatusCode.ALREADY_EXISTS,
        )

    def _told(self, what: str, error: Exception, body: Object) -> CloudError:
        return refusals.told(self.subject, what, error, body)

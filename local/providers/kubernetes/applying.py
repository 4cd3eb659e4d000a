"""Server-side apply of one resource: for real, and as a dry run in a preview.

Owns: whose an object is that exists already, conflicts with other managers, retries of what the API server serves a
moment later. Leaves alone: waiting for readiness (``waiter.py``), the words of refusals (``refusals.py``).
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc

from local.cluster import rest
from local.providers.kubernetes import ignoring, objects, refusals
from local.providers.kubernetes.kinds import Kind
from local.providers.kubernetes.readiness import DEFAULT_SECONDS
from local.providers.kubernetes.waiter import StillThereError, Waiter
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
        try:
            live = self._find_live(kind, body)
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._as_cloud_error("read", error, body) from None
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
            body = self._with_ignored_from_live(kind, body, ignored)
        except (rest.ApiError, rest.UnreachableError) as error:
            raise self._as_cloud_error("read", error, body) from None
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
                if not force and refusals.belongs_to_kubectl(error):
                    fields = [field for names in refusals.owners(error).values() for field in names]
                    self.tell(f"takes back {', '.join(fields)} (changed with kubectl)")
                    force = True
                    continue
                if not refusals.is_transient(error):
                    raise self._as_cloud_error("apply", error, body) from None
                problem = error
            except rest.UnreachableError as error:
                raise self._as_cloud_error("apply", error, body) from None
            if time.monotonic() > end or self.waiter.cancelled.wait(0.3):
                raise self._as_cloud_error("apply", problem, body)

    def preview_update(self, kind: Kind, body: Object, ignored: Sequence[str]) -> Object | None:
        """What the API server would store of an object that exists; ``None`` where it cannot be asked yet.

        Args:
            kind: of the object.
            body: the object as the inputs have it.
            ignored: property paths that the program leaves to others.

        Raises:
            CloudError: it would refuse.
            UnreachableError: it does not answer.
        """
        return self._preview(body, lambda: self._dry_run(self._with_ignored_from_live(kind, body, ignored)))

    def preview_create(self, kind: Kind, body: Object, *, predecessor_is_deleted: bool) -> Object | None:
        """What the API server would store of an object that is new; ``None`` where it cannot be asked yet.

        Args:
            kind: of the object.
            body: the object as the inputs have it.
            predecessor_is_deleted: it replaces an object of the same name, which the update deletes first, so that it
                does not matter who owns the fields of that one.

        Raises:
            CloudError: it would refuse.
            UnreachableError: it does not answer.
        """

        def preview() -> Object | None:
            live = self._find_live(kind, body)
            if live is None:
                return self._dry_run(body)
            if live["metadata"].get("deletionTimestamp"):
                return None
            if not predecessor_is_deleted:
                self._refuse_foreign(kind, live)
            return self._dry_run_replacement(body, predecessor_is_deleted)

        return self._preview(body, preview)

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

    def _preview(self, body: Object, dry_run: Callable[[], Object | None]) -> Object | None:
        try:
            return dry_run()
        except rest.UnknownKindError:
            return None
        except rest.ApiError as error:
            if error.status == 404 or refusals.is_transient(error):  # its namespace is about to be made
                return None
            raise self._as_cloud_error("preview", error, body) from None

    def _with_ignored_from_live(self, kind: Kind, body: Object, ignored: Sequence[str]) -> Object:
        if not ignored:
            return body
        meta = body["metadata"]
        live = self._client.find(kind.api_version, kind.kind, meta["name"], meta.get("namespace"))
        return body if live is None else ignoring.with_ignored_from_live(body, live, self.manager, ignored)

    def _apply(self, body: Object, *, force: bool, dry_run: bool = False) -> Object:
        if not body["metadata"].get("name"):  # generateName cannot be applied
            return self._client.create(body, dry_run=dry_run)
        return self._client.apply(body, force=force, dry_run=dry_run, manager=self.manager)

    def _dry_run(self, body: Object) -> Object:
        try:
            return self._apply(body, force=self.force, dry_run=True)
        except rest.ApiError as error:
            if not refusals.belongs_to_kubectl(error):
                raise
            return self._apply(body, force=True, dry_run=True)

    def _dry_run_replacement(self, body: Object, predecessor_is_deleted: bool) -> Object:
        """Try a replacement whose predecessor still exists: under another name where the fields that made it one cannot
        change, or belong to another manager and go with the predecessor.
        """
        try:
            return self._dry_run(body)
        except rest.ApiError as error:
            in_conflict = error.status == HTTPStatus.CONFLICT and predecessor_is_deleted
            if not (in_conflict or refusals.immutable_fields(error)):
                raise
        meta = body["metadata"]
        other = f"{meta['name'][:_LONGEST_NAME]}-{hashlib.sha256(meta['name'].encode()).hexdigest()[:8]}"
        stored = self._apply({**body, "metadata": {**meta, "name": other}}, force=True, dry_run=True)
        return {**stored, "metadata": {**stored["metadata"], "name": meta["name"]}}

    def _find_live(self, kind: Kind, body: Object) -> Object | None:
        """The object of this name on the server. ``None`` for a patch as well, which is meant for one that exists."""
        meta = body["metadata"]
        if kind.patch or not meta.get("name"):
            return None
        return self._client.find(kind.api_version, kind.kind, meta["name"], meta.get("namespace"))

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

    def _as_cloud_error(self, operation: str, error: Exception, body: Object) -> CloudError:
        return refusals.as_cloud_error(self.subject, operation, error, body)

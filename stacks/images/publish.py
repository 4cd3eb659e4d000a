"""Images on their way into the lock: an archive is uploaded and its digest written, a tag is resolved to its digest.

A tag never moves here: one that leads to something else in the registry is refused, as Artifact Registry and ECR refuse
it where tags are immutable.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from llm_serving.errors import Problem, ProblemsError
from stacks.images.build_context import ImageError
from stacks.images.lock import (
    LOCK,
    LockedImage,
    change_refused,
    check_name,
    push_command,
    read_images,
    write_image,
)
from stacks.images.oci_archive import OciArchive, open_archive
from stacks.images.registry import RegistryClient, parse_repository, parse_tagged

Say = Callable[[str], object]
"""Gets lines of progress."""


def push_image(
    name: str,
    archive: Path,
    to: str,
    folder: Path,
    *,
    say: Say = print,
    environment: Mapping[str, str] = os.environ,
) -> LockedImage:
    """Upload an image and write it into the lock; its entry. Repeated, it uploads and writes nothing.

    Args:
        name: ``name@version``: the end of its repository, and its tag.
        archive: the OCI archive.
        to: registry and the path in front of the name.
        folder: where the lock is.
        say: gets lines of progress.
        environment: variables that hold logins.

    Raises:
        ImageError: the archive or the registry is not what it must be.
        ProblemsError: the lock says something else of this name.
    """
    check_name(name)
    last, tag = name.split("@")
    repository = parse_repository(f"{to}/{last}")
    before = read_images(folder).get(name)
    with open_archive(archive) as opened:
        if opened.version not in ("", tag):
            right = f"{last}@{opened.version}"
            raise ProblemsError([Problem(name, str(archive), f"the image says that it is {right}", f"push {right}")])
        image = LockedImage(
            repository=str(repository),
            tag=tag,
            digest=opened.image.descriptor.digest,
            launcher=opened.has_launcher,
            user_id=None if before is None else before.user_id,  # no archive says it
            inputs=opened.inputs,
        )
        problem = None if before is None else change_refused(name, before, image)
        if problem is not None:
            raise ProblemsError([problem], LOCK)
        client = RegistryClient(repository, environment, pushes=True)
        if not _has_tag(client, tag, opened.image.descriptor.digest):
            _upload(opened, client, tag, say)
    write_image(folder, name, image)
    return image


def pin_image(
    name: str,
    reference: str | None,
    folder: Path,
    *,
    say: Say = print,
    environment: Mapping[str, str] = os.environ,
) -> LockedImage:
    """Write the digest to which an image's tag leads now into the lock, with the version that the image says of itself;
    its entry. One that is pinned stays as it is, and no registry is asked.

    Args:
        name: ``name@version``.
        reference: repository and tag, for a name that the lock does not have.
        folder: where the lock is.
        say: told where nodes of GKE cannot stream the image.
        environment: variables that hold logins.

    Raises:
        ImageError: there is no such tag, or the registry does not answer.
        ProblemsError: the lock says something else of this name, or nothing while no reference is given.
    """
    check_name(name)
    entry = read_images(folder).get(name)
    if entry is None:
        if reference is None:
            how = "--image REPOSITORY:TAG says what it is to name"
            raise ProblemsError([Problem(name, None, f"is not in {LOCK}", how)])
        repository, tag = parse_tagged(reference)
        entry = LockedImage(repository=str(repository), tag=tag)
    elif reference is not None and reference != f"{entry.repository}:{entry.tag}":
        reason = f"is {entry.repository}:{entry.tag} in the lock, and is written once"
        raise ProblemsError([Problem(name, reference, reason, "a new version, under a name of its own")], LOCK)
    if entry.digest is not None:
        return entry
    if not entry.pushed:
        raise ProblemsError([Problem(name, None, "is in no registry yet", push_command(name))], LOCK)
    client = RegistryClient(parse_repository(entry.repository), environment)
    digest = client.digest_of(entry.tag)
    if digest is None:
        raise ImageError(f"{entry.repository}:{entry.tag}: the registry has no such tag")
    # GKE documentation, "Use Image streaming to pull container images", limitations.
    if any(len(set(layers)) < len(layers) for layers in client.layers_of(digest)):
        say(f"note: {name} has a layer twice, so GKE pulls all of it before a container starts, and streams none of it")
    pinned = entry.model_copy(update={"digest": digest, "version": _version(entry, client, digest, say)})
    write_image(folder, name, pinned)
    return pinned


def _version(entry: LockedImage, client: RegistryClient, digest: str, say: Say) -> str | None:
    """The version that the image of another publisher says of itself, where it is one of three numbers: an image that
    has no label of its own has that of its base, ``22.04`` for instance. Of ours the tag is the version."""
    if entry.inputs is not None:
        return None
    try:
        label = client.version_of(digest) or ""
    except (ImageError, ValueError) as error:
        # Some registries keep the image's configuration on a host that a site does not reach.
        say(f"note: {entry.repository}@{digest}: its version could not be read, and is not recorded ({error})")
        return None
    said = re.fullmatch(r"v?(\d+\.\d+\.\d+[0-9A-Za-z.+-]{0,64})", label)
    return said and said[1]


def _has_tag(client: RegistryClient, tag: str, digest: str) -> bool:
    """Whether the registry has an image under its tag already, and so all that belongs to it.

    Raises:
        ImageError: it has another one there.
    """
    present = client.digest_of(tag)
    if present not in (None, digest):
        raise ImageError(
            f"{client.repository}:{tag} is {present} in the registry, and the archive is {digest}; "
            "a tag never moves: push it as a new version"
        )
    return present is not None


def _upload(archive: OciArchive, client: RegistryClient, tag: str, say: Say) -> None:
    for manifest in archive.manifests:
        for blob in manifest.blobs:
            if client.has_blob(blob.digest):
                continue
            say(f"uploading {blob.digest.removeprefix('sha256:')[:12]}  {blob.size / 1e6:.1f} MB")
            client.put_blob(blob, lambda digest=blob.digest: archive.open(digest))
        digest = manifest.descriptor.digest
        known_as = client.put_manifest(manifest, tag if manifest is archive.image else digest)
        if known_as != digest:
            raise ImageError(f"{client.repository}: the registry calls {digest} {known_as}: the image is another there")

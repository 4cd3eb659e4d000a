"""``stacks release``: adding, checking and listing of model releases."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from llm_serving.errors import Problem, ProblemsError, nearest_or_few
from llm_serving.spec.loader import HUB
from stacks.commands.options import Folder, Plain, Releases, print_parts, read_stack
from stacks.releases import (
    RELEASES,
    ReadModel,
    add_release,
    display_path,
    history,
    lock_releases,
    read_releases,
    verify_releases,
)
from stacks.releases.checks import release_quantization
from stacks.report.releases import HASH_DIGITS, read_uses, releases_section
from stacks.settings import PlannedQuantization

app = typer.Typer(no_args_is_help=True, help="Model releases: add, verify, list.")


@app.command()
def add(
    model: Annotated[str, typer.Argument(help="Model: the folder of its releases.")],
    version: Annotated[str, typer.Argument(help="Version of the new release, for example 1.2.0.")],
    base: Annotated[str | None, typer.Option("--from", help="Release of the same model to start from.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="File to start from.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="What differs, for example engine.version=0.33.0; null removes a key. Repeatable."),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option("--model", help="Repository on the hub, for example Qwen/Qwen3-4B: its own files say its shape."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Full commit of --model, 40 hexadecimal digits.")] = None,
    source: Annotated[
        str,
        typer.Option(help="Where --model lies: hf://, gs://BUCKET/PREFIX, s3://BUCKET/PREFIX, or its folder."),
    ] = "hf://",
    config: Annotated[
        Path | None, typer.Option(help="The config.json of --model, where nothing else of it can be read.")
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option(
            "--from-quantization",
            help="Result of a quantization of --stack, read at --source: its model cache, or the result's own folder.",
        ),
    ] = None,
    stack: Annotated[str | None, typer.Option(help="Stack whose settings have --from-quantization.")] = None,
    folder: Folder = Path(),
    releases: Releases = RELEASES,
) -> None:
    """Write a new release and lock it. What it starts from stays as it is."""
    if base is not None and file is not None:
        raise ProblemsError([Problem("--file", str(file), "there is --from already", "one of the two")])
    if quantization is None:
        read = _read(repository, revision, source, config)
    else:
        given = {"--model": repository, "--revision": revision, "--config": config}
        job = _quantization(quantization, stack, (folder, releases), given)
        read = _read_result(job, source)
        if base is None and file is None and model == job.base.spec.name:
            base = job.base.spec.version
    added = add_release(model, version, base=base, source=file, read=read, changes=changes or (), folder=releases)
    for note in added.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"added {display_path(releases / added.release.file)}  {added.release.sha256[:HASH_DIGITS]}")


def _read(repository: str | None, revision: str | None, source: str, config: Path | None) -> ReadModel | None:
    """The model that ``--model`` names, read where it lies."""
    if repository is None:
        for option, value in (("--revision", revision), ("--config", config)):
            if value is not None:
                raise ProblemsError([Problem(option, str(value), "of no model", "--model REPOSITORY")])
        return None
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        hint = f"git ls-remote https://huggingface.co/{repository} HEAD, which prints the newest"
        raise ProblemsError([Problem("--revision", revision, "no full commit of 40 hexadecimal digits", hint)])
    # Imported here: clients of stores are needed by this command alone.
    from stacks.checkpoint.reading import read_checkpoint, read_config

    checkpoint = read_config(config) if config is not None else read_checkpoint(source, repository, revision)
    return ReadModel(repository, revision, checkpoint)


def _quantization(
    name: str, stack: str | None, folders: tuple[Path, Path], given: Mapping[str, object]
) -> PlannedQuantization:
    """The quantization of that name, of the stack's settings; ``folders`` are those of settings and of releases.

    Raises:
        ProblemsError: there is none such, or options name another model.
    """
    others = [(option, str(value)) for option, value in given.items() if value is not None]
    if others:
        raise ProblemsError([Problem(*others[0], "there is --from-quantization already", "one of the two")])
    if stack is None:
        reason = "the stack is missing whose settings have it"
        raise ProblemsError([Problem("--from-quantization", name, reason, "--stack STACK")])
    planned = read_stack(stack, *folders)
    jobs = {job.spec.name: job for job in planned.quantizations}
    if name not in jobs:
        reason = "is no quantization of this stack"
        raise ProblemsError([Problem("--from-quantization", name, reason, nearest_or_few(name, jobs))], planned.source)
    return jobs[name]


def _read_result(job: PlannedQuantization, source: str) -> ReadModel:
    """The result of a quantization, read where it lies."""
    if source == HUB:
        hint = "gs://BUCKET or s3://BUCKET of the stack's model cache, file:///FOLDER of it, or the result's own folder"
        raise ProblemsError([Problem("--source", source, "the result is not on the hub", hint)])
    from stacks.checkpoint.reading import read_checkpoint

    checkpoint = read_checkpoint(source, job.plan.repository, job.plan.revision)
    stored = checkpoint.facts.quantization
    made = None if stored is None else release_quantization(stored)
    if made is not job.plan.makes:
        reason = f"its weights are stored as {made or 'plain 16 bits'}, and {job.spec.scheme} makes {job.plan.makes}"
        raise ProblemsError([Problem("--source", source, reason, f"the folder {job.plan.folder} of the model cache")])
    return ReadModel(job.plan.repository, job.plan.revision, checkpoint, job.base.spec.model)


@app.command()
def verify(
    against: Annotated[
        str | None,
        typer.Option(
            help="Branch, tag or commit that HEAD grew from; one that is missing is an error. "
            f"Default: the first of {', '.join(history.DEFAULT_REFS)} that is there.",
            show_default=False,
        ),
    ] = None,
    releases: Releases = RELEASES,
) -> None:
    """Check that no release was changed or removed: by the lock, and by the history of the repository."""
    verified = verify_releases(releases, against)
    print(f"{verified.release_count} releases match their lock")
    if verified.compared_with:
        print(f"{verified.earlier_count} of them are in {verified.compared_with}, none was changed or removed since")
    else:
        print(f"history was not compared: {verified.not_compared}")


@app.command()
def lock(releases: Releases = RELEASES) -> None:
    """Lock releases whose files were written by hand; refuses where a locked one was changed."""
    new = lock_releases(releases)
    print("\n".join(f"locked {file}" for file in new) or "nothing new")


@app.command("list")
def list_releases(
    model: Annotated[str | None, typer.Argument(help="Only the releases of this model.", show_default=False)] = None,
    folder: Folder = Path(),
    releases: Releases = RELEASES,
    plain: Plain = False,
) -> None:
    """List releases: what each pins, its hash, and which stacks serve it."""
    known = read_releases(releases)
    names = {name for name, _ in known}
    if model is not None and model not in names:
        raise ProblemsError([Problem("MODEL", model, "has no releases", nearest_or_few(model, names))])
    uses, unreadable = read_uses(folder)
    listed = [release for release in known.values() if model in (None, release.spec.name)]
    print_parts([releases_section(listed, uses)], plain=plain)
    for line in unreadable:
        print(f"warning: {line}", file=sys.stderr)

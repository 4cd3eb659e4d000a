"""Weights: somebody brings them into the model cache, and the cache holds them."""

from collections.abc import Iterator
from math import ceil

from llm_serving import catalog
from llm_serving.errors import Problem, Suggestion
from llm_serving.planning.fit import GIB, weight_bytes
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.quantizations import quantization_plans
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import CacheStorageSpec

LOADER = "loader, with the image of images/model-loader: it loads from the Hugging Face hub, or from a mirror"
EXTERNAL = "weights: external, where somebody else fills the bucket before the models start"


def check_weights(stack: StackShape) -> Iterator[Problem]:
    """One of the two brings the weights: the stack's loader, or somebody else."""
    if stack.loader is not None and stack.weights is not None:
        reason = "somebody else brings the weights, and the loader would bring them too"
        yield Problem(
            "weights",
            stack.weights,
            reason,
            Suggestion("leave it out, or the loader", removal=True, edits=[{"/loader": None}]),
        )
    if stack.models and stack.cloud.makes_model_cache and stack.loader is None and stack.weights is None:
        reason = "nothing fills the bucket that this stack makes, and its models would wait for their weights for ever"
        yield Problem("loader", None, reason, Suggestion(f"{LOADER}; or {EXTERNAL}", edits=[{"/weights": "external"}]))
    if stack.cache_storage is not None:
        for team in stack.teams:
            yield from _claim(stack, stack.cache_storage, team.name)


def _claim(stack: StackShape, claim: CacheStorageSpec, team: str) -> Iterator[Problem]:
    """The claim of a team's namespace holds the weights of its releases, and every pod of theirs can mount it."""
    path = "cluster.cacheStorage"
    models = [model for model in stack.models if model.team == team]
    served = {(model.name, version) for model in models for _, version in releases_of(model)}
    releases = [stack.releases[key] for key in sorted(served) if key in stack.releases]
    needed = sum(weight_bytes(catalog.model_facts(release.model), release.quantization) for release in releases) / GIB
    jobs = [job for job in stack.quantizations if job.team == team]
    bases = {(job.base.model, job.base.release) for job in jobs} - served
    needed += sum(_base_bytes(stack, base) for base in bases) / GIB
    plans, _ = quantization_plans(stack)
    needed += sum(plan.result_gib for index, plan in plans.items() if stack.quantizations[index].team == team)
    if needed > claim.size_gib:
        beside = " with what is quantized" if jobs else ""
        reason = f"the weights of team {team}'s releases{beside} are {needed:.1f} GiB"
        yield Problem(f"{path}.sizeGib", claim.size_gib, reason, _room_for_next(ceil(needed)))
    pods = sum((model.most_replicas + model.surge) * model.engine.nodes for model in models) + len(jobs)
    pools = {model.pool for model in models} | {job.pool for job in jobs}
    nodes = sum(pool.max_nodes for pool in stack.pools if pool.name in pools)
    if claim.access_mode == "ReadWriteOnce" and nodes > 1 and pods > 1:
        # Kubernetes documentation, "Persistent Volumes", "Access Modes": one node mounts it, with all of its pods.
        reason = f"one node alone mounts such a claim, and the pods of team {team} run on up to {min(nodes, pods)}"
        shared = Suggestion("ReadWriteMany, of a class that has it", values=["ReadWriteMany"])
        yield Problem(f"{path}.accessMode", claim.access_mode, reason, shared)


def _base_bytes(stack: StackShape, base: tuple[str, str]) -> float:
    """Bytes of the weights of a base that no model serves; 0 where it is not known, which other rules say."""
    release = stack.releases.get(base)
    return 0.0 if release is None else weight_bytes(catalog.model_facts(release.model), release.quantization)


def _room_for_next(least: int) -> Suggestion:
    return Suggestion(f"{least}, and room for the next release", values=[least])

"""What a team's models take of a shared cluster at most."""

from llm_serving.planning.replicas import Role, plan_replicas
from llm_serving.spec import ModelSpec


def max_gpus(model: ModelSpec, gpus: int) -> int:
    """GPUs that the pods of ``model`` may request at once.

    The stable release at its most; beside it what a change brings: the instances that a rollout adds (surge), or, when
    another release becomes stable, those that it starts before the old ones end; canary and previous release at their
    most, since a canary may have grown before the stable release has shrunk; the Job that fills a compile cache; and
    placeholders, which count although they wait.

    Args:
        model: the model as its stack sets it.
        gpus: GPUs of one instance; where releases differ, the most.
    """
    rollout_extra = max(model.surge, model.fewest_replicas, 1)
    others = sum(count.most for count in plan_replicas(model) if count.role is not Role.STABLE)
    compiling = 1 if model.compile_cache else 0
    return (model.most_replicas + rollout_extra + others + compiling + model.warm_pool.placeholders) * gpus

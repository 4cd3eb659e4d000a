"""What stacks and releases ask of engines: each engine can do it, in the version that the release names, on the pool's
device; numbers that the engine would refuse when it starts are refused here.

What an engine can do is data (catalog, ``engine_features.csv``); how it is told is the adapters' (``serving.engines``).
Whether the model fits the GPUs is :mod:`llm_serving.planning.placement`.
"""

from collections.abc import Iterator
from math import floor

from llm_serving import catalog
from llm_serving.catalog import Feature, UnknownFact
from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion, nearest, nearest_or_few
from llm_serving.launchers import launchers
from llm_serving.planning.gpu_sharing import process_gpu
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.engine_flags import check_flags
from llm_serving.planning.rules.models import ROLE_PATHS
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import EngineName, KvCacheType, ModelSpec, Quantization, ReleaseSpec, Task

CPU = "cpu"

_COUNT_RUNNING = frozenset({EngineName.VLLM})
"""Engines whose cap counts running requests too: what may wait can only be told from the size of a batch."""

_SHARES_OF_WHOLE_GPU = frozenset({EngineName.VLLM})
"""Engines whose share of memory is of the whole GPU (``gpu_memory_utilization`` of vLLM). SGLang's
``mem_fraction_static`` is of what is free when it starts."""

_COPIES_ON_ONE_NODE = frozenset({EngineName.SGLANG})
"""Engines that cannot have several copies where an instance spans nodes (SGLang, ``validation_hook``)."""

_LAUNCHED = frozenset({EngineName.VLLM})
"""Engines whose image may have our launcher inside. To the others it comes with the release."""

_PARSER_FLAGS = {"toolParser": "tool-call-parser", "reasoningParser": "reasoning-parser"}
"""Flags whose choices are the names of parsers, in vLLM and in SGLang."""


def check_engines(stack: StackShape) -> Iterator[Problem]:
    """Everything about engines, for every release that a model serves. What two releases share is said once."""
    version, carried = stack.launcher.version, launchers()
    if version is not None and version not in carried:
        reason = "is not a launcher that the installed package carries"
        yield Problem("launcher.version", version, reason, nearest_or_few(version, carried))
    reported: list[Problem] = []
    for index, model in enumerate(stack.models):
        for role, version in releases_of(model):
            release = stack.releases.get((model.name, version))
            if release is None:
                continue
            place = f"models[{index}].{ROLE_PATHS[role]}"
            for problem in _check(f"models[{index}]", place, stack, model, release):
                if problem not in reported:
                    reported.append(problem)
                    yield problem


def _check(path: str, place: str, stack: StackShape, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    known = catalog.engine_versions(release.engine.name)
    if known and release.engine.version not in known:
        yield Problem(
            place,
            release.version,
            f"nothing is recorded of {release.engine.name} {release.engine.version}: no flag of it can be checked",
            Suggestion(
                f"a release with {release.engine.name} {nearest_or_few(release.engine.version, known)}; "
                "tools/engines/flags.py records another version",
                needs=Needs.ELSEWHERE,
            ),
        )
        return
    if release.image.launcher and release.engine.name not in _LAUNCHED:
        known = ", ".join(sorted(_LAUNCHED))
        reason = f"images with our launcher inside hold {known}, and the release names {release.engine.name}"
        other = Suggestion("a release whose image is the publisher's own, launcher false", needs=Needs.ELSEWHERE)
        yield Problem(place, release.version, reason, other)
    yield from _features(path, place, stack, model, release)
    yield from _scheduling(path, model, release)
    yield from _on_gpu(path, stack, model, release)
    yield from _kv_cache(place, stack, model, release)
    yield from _speculation(path, model, release)
    yield from _media(path, model, release)
    yield from _in_turns(place, stack, model, release)
    yield from _copies(path, model, release)
    yield from _adapters(path, place, model, release)
    yield from _parsers(place, release)
    yield from check_flags(path, release.engine, model.engine)


def requested_features(
    path: str, place: str, model: ModelSpec, release: ReleaseSpec
) -> Iterator[tuple[Feature, str, object]]:
    """What model and release ask of the engine: feature, path and value. ``place``: where the release is named."""
    options = model.engine
    of_stack: tuple[tuple[Feature, bool, str, object], ...] = (
        (Feature.TENSOR_PARALLEL, (model.tensor_parallelism or 1) > 1, "tensorParallelism", model.tensor_parallelism),
        (
            Feature.PIPELINE_PARALLEL,
            options.pipeline_parallelism > 1,
            "engine.pipelineParallelism",
            options.pipeline_parallelism,
        ),
        (Feature.DATA_PARALLEL, options.data_parallelism > 1, "engine.dataParallelism", options.data_parallelism),
        (Feature.EXPERT_PARALLEL, options.expert_parallel, "engine.expertParallel", True),
        (Feature.MULTI_NODE, options.nodes > 1, "engine.nodes", options.nodes),
        (
            Feature.CHUNKED_PREFILL,
            options.chunked_prefill is not None,
            "engine.chunkedPrefill",
            options.chunked_prefill,
        ),
        (Feature.PREFIX_CACHING, options.prefix_caching is not None, "engine.prefixCaching", options.prefix_caching),
        (
            Feature.MAX_BATCHED_TOKENS,
            options.max_batched_tokens is not None,
            "engine.maxBatchedTokens",
            options.max_batched_tokens,
        ),
        (Feature.MAX_SEQUENCES, options.max_sequences is not None, "engine.maxSequences", options.max_sequences),
        (
            Feature.MAX_QUEUED_REQUESTS,
            options.max_queued_requests is not None,
            "engine.maxQueuedRequests",
            options.max_queued_requests,
        ),
        (
            Feature.MAX_QUEUED_TOKENS,
            options.max_queued_tokens is not None,
            "engine.maxQueuedTokens",
            options.max_queued_tokens,
        ),
        (Feature.STRUCTURED_OUTPUTS_OFF, not options.structured_outputs, "engine.structuredOutputs", False),
        (Feature.STREAM_WEIGHTS, options.stream_weights, "engine.streamWeights", True),
        (Feature.GRAPH_SIZES, bool(options.graph_sizes), "engine.graphSizes", list(options.graph_sizes)),
        (
            Feature.MEDIA_PER_PROMPT,
            bool(options.media_per_prompt),
            "engine.mediaPerPrompt",
            {modality.value: count for modality, count in options.media_per_prompt.items()},
        ),
    )
    yield from ((feature, f"{path}.{where}", value) for feature, wanted, where, value in of_stack if wanted)
    of_release: tuple[tuple[Feature, bool], ...] = (
        (Feature.KV_CACHE_FP8, release.kv_cache is KvCacheType.FP8),
        (Feature.POOLING, release.task is not Task.GENERATE),
        (Feature.LORA, bool(release.adapters)),
        (Feature.TOOL_PARSER, release.tool_parser is not None),
        (Feature.REASONING_PARSER, release.reasoning_parser is not None),
        (Feature.CHAT_TEMPLATE, release.chat_template is not None),
        (Feature.SAMPLING_DEFAULTS, bool(release.sampling)),
    )
    yield from ((feature, place, release.version) for feature, wanted in of_release if wanted)
    if release.quantization is not Quantization.NONE:
        yield Feature(release.quantization.value), place, release.version


def _features(path: str, place: str, stack: StackShape, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    engine = release.engine.name
    known = catalog.engine_features(engine)
    for feature, where, value in requested_features(path, place, model, release):
        if not known[feature].has:
            reason = f"{engine} lacks {_PHRASES.get(feature, feature.value)}: {known[feature].why}"
            yield Problem(where, value, reason, _instead(feature, engine, of_release=where == place))
    node = stack.node(model.pool)
    if node is None or node.accelerator not in {gpu.name for gpu in catalog.accelerators()}:
        return
    if catalog.accelerator(node.accelerator).device == CPU:
        yield from _on_cpu(path, model, engine)


def _on_cpu(path: str, model: ModelSpec, engine: EngineName) -> Iterator[Problem]:
    known = catalog.engine_features(engine)[Feature.CPU]
    stages = model.engine.pipeline_parallelism
    if not known.has:
        reason = f"{engine} does not run on the pool's CPUs: {known.why}"
        yield Problem(
            f"{path}.pool",
            model.pool,
            reason,
            Suggestion(f"a pool with GPUs, or {_having(Feature.CPU)}", needs=Needs.CHOICE),
        )
    elif stages > 1:
        # Seen with vLLM 0.32.0: the engine dies of its first request, because its CPU runner hands on nothing.
        reason = f"{engine} does not run stages on CPUs"
        yield Problem(
            f"{path}.engine.pipelineParallelism", stages, reason, Suggestion("1, and tensorParallelism", values=[1])
        )


_PHRASES = {
    Feature.STRUCTURED_OUTPUTS_OFF: "a way to turn structured outputs off",
    Feature.SAMPLING_DEFAULTS: "sampling defaults",
    Feature.CHAT_TEMPLATE: "a chat template from outside the model",
    Feature.KV_CACHE_FP8: "a KV cache in FP8",
    Feature.POOLING: "models that make vectors or scores",
    Feature.LORA: "LoRA adapters under names of their own",
}


def _instead(feature: Feature, engine: EngineName, *, of_release: bool) -> Suggestion:
    """The nearest thing that works: an engine that has it; else another quantization; else nothing of the kind."""
    having = _having(feature)
    if having:
        release = f"a release with {having}"
        return (
            Suggestion(release, needs=Needs.ELSEWHERE)
            if of_release
            else Suggestion(f"leave it out, or {release}", removal=True)
        )
    if feature.value in {quantization.value for quantization in Quantization}:
        features = catalog.engine_features(engine)
        others = [other.value for other in (Feature.AWQ, Feature.GPTQ, Feature.FP8) if features[other].has]
        return Suggestion(f"a release with a checkpoint in {', '.join(others)}", needs=Needs.ELSEWHERE)
    return Suggestion("a release without it", needs=Needs.ELSEWHERE) if of_release else LEAVE_OUT


def _having(feature: Feature) -> str:
    return " or ".join(name.value for name in EngineName if catalog.engine_features(name)[feature].has)


def _scheduling(path: str, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """Numbers of one step and of the queue."""
    options, features = model.engine, catalog.engine_features(release.engine.name)
    step, batch = options.max_batched_tokens, options.max_sequences
    whole_prompts = options.chunked_prefill is False or not features[Feature.CHUNKED_PREFILL].has
    if step is not None and whole_prompts and step < release.context_length:
        reason = (
            f"without chunked prefill a prompt goes through in one step, and contexts have {release.context_length}"
        )
        yield Problem(f"{path}.engine.maxBatchedTokens", step, reason, Suggestion(values=[release.context_length]))
    elif step is not None and batch is not None and step < batch:
        reason = f"each of the {batch} requests of a batch takes a token of every step"
        yield Problem(f"{path}.engine.maxBatchedTokens", step, reason, Suggestion(values=[batch]))
    if options.max_queued_requests is not None and batch is None and release.engine.name in _COUNT_RUNNING:
        reason = f"{release.engine.name} counts running requests too: with maxQueuedRequests it must know how many run"
        yield Problem(f"{path}.engine.maxSequences", None, reason, _USUAL_BATCH)


_USUAL_BATCH = Suggestion("256, the engine's default on most GPUs", values=[256])


def _accelerator(stack: StackShape, model: ModelSpec) -> catalog.Accelerator | None:
    """What a pod of the model's pool can use of a GPU; ``None`` where other rules refuse the pool or its GPU."""
    node = stack.node(model.pool)
    try:
        return None if node is None else process_gpu(node)
    except UnknownFact:
        return None


def _on_gpu(path: str, stack: StackShape, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """What the engine compares with the GPU when it starts: free memory, and its default of tokens a step."""
    gpu = _accelerator(stack, model)
    if gpu is None or gpu.memory_gib is None or release.engine.name is not EngineName.VLLM:
        return
    # vLLM refuses to start where less is free than it may use, and the context of its process is never free.
    context = catalog.device(gpu.device).context_gib
    most = floor((1 - context / gpu.memory_gib) * 100) / 100
    if gpu.device != CPU and model.gpu_memory_utilization > most:
        reason = f"of a {gpu.name}'s {gpu.memory_gib:g} GiB the engine's own process takes {context:g} before it starts"
        yield Problem(f"{path}.gpuMemoryUtilization", model.gpu_memory_utilization, reason, Suggestion(values=[most]))
    batch, step = model.engine.max_sequences, gpu.step_tokens
    if batch is not None and model.engine.max_batched_tokens is None and batch > step:
        reason = f"a step has {step} tokens on a {gpu.name} by default, and each request of a batch takes one"
        instead = Suggestion(values=[step], edits=[{"maxBatchedTokens": batch}])
        yield Problem(f"{path}.engine.maxSequences", batch, reason, instead)


def _kv_cache(place: str, stack: StackShape, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """A KV cache in FP8 needs an attention kernel that reads it."""
    gpu = _accelerator(stack, model)
    if release.kv_cache is not KvCacheType.FP8 or gpu is None:
        return
    # FlashInfer, which is what is left where FlashAttention 3 is not, begins at 8.0 (``supports_compute_capability``,
    # vLLM 0.32.0).
    if gpu.compute_capability is None or float(gpu.compute_capability) < _LEAST_FP8_CACHE:
        reason = (
            f"release {release.version} keeps its KV cache in FP8, for which {release.engine.name} has no kernel on "
        )
        yield Problem(place, release.version, f"{reason}{gpu.name}", _AUTO_CACHE)


_LEAST_FP8_CACHE = 8.0
_AUTO_CACHE = Suggestion("a release with kvCache auto", needs=Needs.ELSEWHERE)


def _in_turns(place: str, stack: StackShape, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """On a GPU that pods use in turns each engine must take a share of the whole GPU, whatever its neighbours hold."""
    node = stack.node(model.pool)
    if node is not None and node.clients > 1 and release.engine.name not in _SHARES_OF_WHOLE_GPU:
        reason = (
            f"the pods of pool {model.pool} use a GPU in turns, and {release.engine.name} counts its share from the "
            "memory that its neighbours have left when it starts"
        )
        known = ", ".join(sorted(_SHARES_OF_WHOLE_GPU))
        other = Suggestion(f"a release with {known}, or a pool with sharing.partition", needs=Needs.ELSEWHERE)
        yield Problem(place, release.version, reason, other)


def _media(path: str, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """Limits of pictures and sound are for models that read them."""
    facts = release.model.facts
    read = [encoder.modality.value for encoder in facts.encoders] if facts is not None else []
    for modality, count in model.engine.media_per_prompt.items():
        if modality not in read:
            kinds = ", ".join(read) if read else "text alone, as far as the release says"
            reason = f"the model of release {release.version} reads {kinds}"
            free = [other for other in read if other not in model.engine.media_per_prompt]
            yield Problem(
                f"{path}.engine.mediaPerPrompt.{modality}", count, reason, Suggestion(keys=free, removal=not free)
            )


def _speculation(path: str, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """Speculative decoding without a second model: what vLLM guesses from the request itself."""
    method = model.engine.flag_part("speculative-config", "method")
    count = model.engine.flag_part("speculative-config", "num_speculative_tokens")
    if release.engine.name is not EngineName.VLLM or (method is None and count is None):
        return
    if model.engine.flag_part("speculative-config", "model") is not None:
        return  # refused by the rules of flags
    parts = any(flag.startswith("speculative-config.") for flag in model.engine.flags)
    where = f"{path}.engine.flags.speculative-config{'.method' if parts else ''}"
    instead = Suggestion(values=["ngram" if parts else '{"method": "ngram", "num_speculative_tokens": 3}'])
    if method not in _GUESSING:
        reason = "needs further weights, which the loader does not bring and planning does not count"
        yield Problem(where, method, reason, instead)
    elif count is None:
        too = Suggestion(edits=[{"speculative-config.num_speculative_tokens": 3}])
        suggestion = too if parts else instead
        yield Problem(where, method, "how many tokens are guessed is not said", suggestion)


_GUESSING = ("ngram", "ngram_gpu")
"""Methods that repeat what the prompt has: no weights, no cache. "suffix" needs the package arctic-inference, which is
no requirement of vLLM."""


def _copies(path: str, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    options = model.engine
    if options.nodes > 1 and options.data_parallelism > 1 and release.engine.name in _COPIES_ON_ONE_NODE:
        reason = f"{release.engine.name} has one copy of the model where an instance spans nodes"
        yield Problem(
            f"{path}.engine.dataParallelism",
            options.data_parallelism,
            reason,
            Suggestion("1, and more instances", values=[1]),
        )


def _adapters(path: str, place: str, model: ModelSpec, release: ReleaseSpec) -> Iterator[Problem]:
    """LoRA adapters: a place for them, of a rank that the engine takes, under names that nothing else has."""
    options, names = model.engine, [adapter.name for adapter in release.adapters]
    for name in sorted(set(names)):
        if name == release.name:
            yield Problem(place, release.version, f"its adapter {name} has the name of the model", _OTHER_ADAPTERS)
        elif names.count(name) > 1:
            yield Problem(place, release.version, f"two of its adapters are called {name}", _OTHER_ADAPTERS)
    if not release.adapters or not catalog.engine_features(release.engine.name)[Feature.LORA].has:
        return
    if not options.max_loras:
        reason = f"release {release.version} has {len(names)} adapter(s), and a batch has room for none"
        yield Problem(f"{path}.engine.maxLoras", options.max_loras, reason, Suggestion(values=[len(names)]))
    ranks = _ranks(release)
    most = max(adapter.rank for adapter in release.adapters)
    if ranks and options.max_lora_rank not in ranks:
        reason = f"{release.engine.name} takes {', '.join(map(str, ranks))} only"
        yield Problem(
            f"{path}.engine.maxLoraRank", options.max_lora_rank, reason, _at_least(options.max_lora_rank, ranks)
        )
    elif options.max_lora_rank < most:
        adapter = next(adapter for adapter in release.adapters if adapter.rank == most)
        reason = f"adapter {adapter.name} of release {release.version} has rank {most}"
        yield Problem(f"{path}.engine.maxLoraRank", options.max_lora_rank, reason, _at_least(most, ranks))


def _ranks(release: ReleaseSpec) -> list[int]:
    """Caps of the rank that the engine takes; empty where it takes any."""
    flag = catalog.engine_flags(release.engine.name, release.engine.version).get("max-lora-rank")
    return [] if flag is None else sorted(int(choice) for choice in flag.choices)


def _at_least(rank: int, ranks: list[int]) -> Suggestion:
    return Suggestion(values=[next((known for known in ranks if known >= rank), ranks[-1] if ranks else rank)])


_OTHER_ADAPTERS = Suggestion("a release whose adapters have names of their own", needs=Needs.ELSEWHERE)


def _parsers(place: str, release: ReleaseSpec) -> Iterator[Problem]:
    flags = catalog.engine_flags(release.engine.name, release.engine.version)
    for setting, name in (("toolParser", release.tool_parser), ("reasoningParser", release.reasoning_parser)):
        flag = flags.get(_PARSER_FLAGS[setting])
        if name is not None and flag is not None and name not in flag.choices:
            reason = f"{release.engine.name} {release.engine.version} knows no {setting} {name!r}"
            near = nearest(name, flag.choices)
            instead = Suggestion(f"a release with {setting} {near}" if near else "", needs=Needs.ELSEWHERE)
            yield Problem(place, release.version, reason, instead)

"""What a model reads beside text, from its ``config.json`` and the sizes of its preprocessors.

Publishers have a name of their own for nearly every size. The tables here have those that vLLM's models read (vLLM
0.32.0, ``vllm/model_executor/models``, read on 2026-11-29). What no file says stays open, and planning takes the least
that vLLM would.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import cast

from llm_serving.spec import EncoderFacts, Modality
from stacks.checkpoint.layers import Config, hidden_size, number, text_config

_TOWERS = ("vision_config", "vision_tower_config", "visual")
_WIDTHS = ("embed_dim", "vt_hidden_size", "hidden_size", "width", "d_model")
_MLP_WIDTHS = ("intermediate_size", "vt_intermediate_size", "encoder_ffn_dim")
_VIDEO = ("video_token_id", "video_token_index")
_FIXED = ("vision_soft_tokens_per_image", "mm_tokens_per_image")
"""Tokens of every picture, whatever its size: Gemma 4 and 3."""

_VIDEO_FRAMES = 14
"""Frames of the largest video of Qwen2-VL and Qwen2.5-VL in vLLM (``_MAX_FRAMES_PER_VIDEO`` of ``qwen2_vl.py``)."""

_LEAST_AREA = 10_000
"""Sizes of a preprocessor from which on they are numbers of pixels, not lengths of an edge."""


def encoders(config: Config, picture: Config | None = None, video: Config | None = None) -> tuple[EncoderFacts, ...]:
    """What the model reads beside text, one entry a modality; none for a model of text alone.

    Args:
        config: its ``config.json``.
        picture: its ``preprocessor_config.json``, where it has one.
        video: its ``video_preprocessor_config.json``, where it has one.
    """
    thinker = config.get("thinker_config")
    if isinstance(thinker, dict):
        return encoders(cast(Config, thinker), picture, video)
    return (*_of_pictures(config, picture or {}, video or {}), *_of_sound(config))


def _of_pictures(config: Config, picture: Config, video: Config) -> Iterator[EncoderFacts]:
    tower = next((cast(Config, config[key]) for key in _TOWERS if isinstance(config.get(key), dict)), None)
    if tower is None:
        return
    merged = _merged(config, tower, picture)
    deeper = tower.get("deepstack_visual_indexes")
    outputs = 1 + (len(cast(list[int], deeper)) if isinstance(deeper, list) else 0)
    tokens = _picture_tokens(config, tower, picture, merged)
    if config.get("use_unified_vision_chunk"):
        yield _encoder(Modality.VISION_CHUNK, config, tower, tokens, merged, outputs)
        return
    yield _encoder(Modality.IMAGE, config, tower, tokens, merged, outputs)
    if any(config.get(key) is not None for key in _VIDEO):
        tokens = _video_tokens(tower, picture, video, merged, tokens)
        yield _encoder(Modality.VIDEO, config, tower, tokens, merged, outputs)


def _of_sound(config: Config) -> Iterator[EncoderFacts]:
    tower = config.get("audio_config")
    if isinstance(tower, dict):
        tower = cast(Config, tower)
        # Of two neighbouring positions the model hears one (average pooling in ``Qwen2AudioEncoder``).
        positions = number(tower, "max_source_positions", default=0)
        yield _encoder(Modality.AUDIO, config, tower, positions // 2 or None, 2, 1)


def _encoder(
    modality: Modality, config: Config, tower: Config, tokens: int | None, positions: int, outputs: int
) -> EncoderFacts:
    """Where the tower does not say how wide it is, it counts as wide as the language model, which is wider."""
    width = number(tower, *_WIDTHS, default=hidden_size(text_config(config)))
    ratio = tower.get("mlp_ratio")
    mlp = number(
        tower, *_MLP_WIDTHS, default=int(width * (ratio if isinstance(ratio, int | float) and ratio > 0 else 4))
    )
    return EncoderFacts(
        modality=modality,
        tokens=tokens or None,
        positions=positions,
        hidden_size=width,
        intermediate_size=mlp,
        outputs=outputs,
    )


def _merged(config: Config, tower: Config, picture: Config) -> int:
    """Patches that become one token."""
    none: Config = {}
    compression = tower.get("img_token_compression_config")
    for part in (tower, config, cast(Config, compression) if isinstance(compression, dict) else none):
        if edge := number(part, "spatial_merge_size", "pooling_kernel_size", default=0):
            return edge * edge
        if isinstance(part.get("merge_kernel_size"), list):
            return prod(cast(list[int], part["merge_kernel_size"]))
        ratio = part.get("pixel_shuffle_ratio") or part.get("downsample_ratio")
        if isinstance(ratio, int | float) and 0 < ratio <= 1:
            return round(1 / float(ratio) ** 2)
    return number(picture, "merge_size", default=1) ** 2


def _picture_tokens(config: Config, tower: Config, picture: Config, merged: int) -> int | None:
    """Tokens of the largest picture."""
    if fixed := number(config, *_FIXED, default=number(tower, "default_output_length", default=0)):
        return fixed
    patch = _patch(tower, picture)
    if not patch:
        return None
    if pixels := _pixels(picture):
        return pixels // (patch * patch * merged)
    edge = number(tower, "image_size", default=0)
    tile = (edge // patch) ** 2 // merged
    if areas := _areas(config.get("image_grid_pinpoints")):
        # The picture in tiles, and the whole of it as one where a tile is smaller.
        return max(areas) // (patch * patch * merged) + (tile if edge * edge < max(areas) else 0)
    tiles = number(config, "max_dynamic_patch", default=number(picture, "max_patches", default=0))
    return tile * (tiles + 1) if tiles else tile


def _video_tokens(tower: Config, picture: Config, video: Config, merged: int, image: int | None) -> int | None:
    """Tokens of the largest video. Qwen3-VL's preprocessor bounds the pixels of all frames, of which as many as
    ``temporal_patch_size`` are one; vLLM counts one such group. With Qwen2-VL's each frame may be the largest
    picture."""
    patch, frames = _patch(tower, picture), number(tower, "temporal_patch_size", default=0)
    if not patch or not frames:
        return None
    if pixels := _pixels(video):
        return pixels // frames // (patch * patch * merged)
    return _VIDEO_FRAMES // frames * image if image and "deepstack_visual_indexes" not in tower else None


def _patch(tower: Config, picture: Config) -> int:
    return number(tower, "patch_size", default=number(picture, "patch_size", default=0))


def _pixels(preprocessor: Config) -> int:
    """The most pixels of an item; 0 where the preprocessor bounds none."""
    sizes = preprocessor.get("size")
    longest = number(cast(Config, sizes), "longest_edge", "max_pixels", default=0) if isinstance(sizes, dict) else 0
    pixels = number(preprocessor, "max_pixels", default=longest)
    return pixels if pixels >= _LEAST_AREA else 0


def _areas(pinpoints: object) -> list[int]:
    """Pixels of each size to which a picture may be brought; the file has them as a list, or as the text of one."""
    edges = [int(edge) for edge in re.findall(r"\d+", str(pinpoints or ""))]
    return [width * height for width, height in zip(edges[::2], edges[1::2], strict=False)]

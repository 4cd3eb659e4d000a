"""Tokenizer and chat template of the tiny model: one token a byte, as a byte-level BPE without merges.

A token's id is the value of its byte; special tokens follow, spelt as Llama 3 spells them, and reserved ones fill up
the vocabulary, so that every id that the model can choose has a text.
"""

from typing import Any

from local.model.variants import SHAPE

BYTES = 256
_NAMED = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|finetune_right_pad_id|>",
)
SPECIAL = _NAMED + tuple(f"<|reserved_special_token_{n}|>" for n in range(SHAPE.vocabulary - BYTES - len(_NAMED)))
"""Special tokens in the order of their ids, the first of which is ``BYTES``."""

BEGIN, END, TURN_END, PADDING = _NAMED[0], _NAMED[1], _NAMED[4], _NAMED[5]

CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{- (message['content'] or '') | trim }}"
    "{{- '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{%- endif %}"
)


def token_id(special: str) -> int:
    """The id of a special token."""
    return BYTES + SPECIAL.index(special)


def byte_symbols() -> list[str]:
    """The printable character that stands for each byte in a byte-level vocabulary (the table of GPT-2).

    A byte that prints in Latin-1 stands for itself; the others take the characters from U+0100 on, in their order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    symbols: list[str] = []
    moved = 0
    for byte in range(BYTES):
        if byte in printable:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(0x100 + moved))
            moved += 1
    return symbols


def tokenizer() -> dict[str, Any]:
    """Content of ``tokenizer.json``, the format of the library ``tokenizers``."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    begin = {"SpecialToken": {"id": BEGIN, "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token_id(special), **_added(special)} for special in SPECIAL],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                begin,
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": BEGIN, "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {BEGIN: {"id": BEGIN, "ids": [token_id(BEGIN)], "tokens": [BEGIN]}},
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {symbol: byte for byte, symbol in enumerate(byte_symbols())},
            "merges": [],
        },
    }


def tokenizer_config() -> dict[str, Any]:
    """Content of ``tokenizer_config.json``."""
    return {
        "added_tokens_decoder": {str(token_id(special)): _added(special) for special in SPECIAL},
        "bos_token": BEGIN,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": TURN_END,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": SHAPE.max_context,
        "pad_token": PADDING,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def special_tokens_map() -> dict[str, str]:
    """Content of ``special_tokens_map.json``."""
    return {"bos_token": BEGIN, "eos_token": TURN_END, "pad_token": PADDING}


def _added(content: str) -> dict[str, Any]:
    return {
        "content": content,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }

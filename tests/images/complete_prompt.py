"""Run by a Python of its own: vLLM loads a model and answers one prompt.

``python complete_prompt.py SITE_PACKAGES`` reads from standard input ``{"model": folder, "prompt", "tokens"}`` and
writes as its last line ``{"quantization": what vLLM takes the weights for, "tokens": those of the answer}``.
"""

import json
import os
import sys

sys.path.insert(0, sys.argv[1])
os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}

from vllm import LLM, SamplingParams
from vllm.model_executor.models import ModelRegistry


def main() -> None:
    request = json.load(sys.stdin)
    with open(os.path.join(request["model"], "config.json")) as file:
        architectures = json.load(file)["architectures"]
    for architecture in architectures:
        # Else vLLM looks at it in a process of its own, which does not find its packages.
        ModelRegistry.register_model(architecture, ModelRegistry.models[architecture].load_model_cls())
    model = LLM(model=request["model"], dtype="bfloat16", max_model_len=256, enforce_eager=True)
    sampling = SamplingParams(max_tokens=request["tokens"], temperature=0, ignore_eos=True)
    (answer,) = model.generate([request["prompt"]], sampling)
    quantization = model.llm_engine.vllm_config.model_config.quantization
    print(json.dumps({"quantization": quantization, "tokens": list(answer.outputs[0].token_ids)}), flush=True)
    os._exit(0)  # threads of the engine would keep the process


if __name__ == "__main__":
    main()

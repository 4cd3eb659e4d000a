#!/bin/sh
# Writes the pins of the images. Pass --upgrade to renew all that is not fixed in a requirements*.in.
set -eu
export UV_PYTHON_DOWNLOADS=never

cd -- "$(dirname -- "$0")"

lock() {
    source=$1
    shift
    uv pip compile "$source" -o "${source%.in}.txt" --quiet --universal --generate-hashes --python-version 3.11 \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "sh images/lock.sh" "$@"
}

lock tools/requirements.in "$@"
lock vllm/requirements-gpu.in "$@"
lock vllm/requirements-cpu.in --override vllm/overrides-cpu.txt "$@"
lock quantizer/requirements-gpu.in "$@"
lock quantizer/requirements-cpu.in --override quantizer/overrides-cpu.txt "$@"
lock model-loader/requirements.in "$@"
lock gateway/requirements.in "$@"
lock proxy/requirements.in "$@"
lock router/requirements.in "$@"

#!/bin/sh
# Writes the pins: requirements.txt, requirements-dev.txt and tools/python/uv.txt. Pass --upgrade to renew all.
set -eu
export UV_PYTHON_DOWNLOADS=never

cd -- "$(dirname -- "$0")/../.."

lock() {
    source=$1
    target=$2
    shift 2
    uv pip compile "$source" -o "$target" --quiet --universal --generate-hashes --python-version 3.11 \
        --no-emit-index-url --custom-compile-command "sh tools/python/lock.sh" "$@"
}

lock requirements.in requirements.txt "$@"
lock requirements-dev.in requirements-dev.txt --override tools/python/overrides.txt "$@"
lock tools/python/uv.in tools/python/uv.txt "$@"

#!/bin/sh
# Writes the pins: requirements.txt, requirements-dev.txt, tools/python/uv.txt and those of programs
# that tests run. Pass --upgrade to renew all.
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
lock tests/images/gateway/similarity/requirements.in tests/images/gateway/similarity/requirements.txt "$@"
lock tests/images/gateway/requirements-clients.in tests/images/gateway/requirements-clients.txt "$@"

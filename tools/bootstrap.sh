#!/bin/sh
# Finds a Python that is new enough and hands over to tools/bootstrap, which needs nothing else.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# The project's own environment must not be made with itself.
path_without_venv() (
    set -f
    IFS=:
    kept=
    for folder in $PATH; do
        [ "$folder" = "$root/.venv/bin" ] || kept=${kept:+$kept:}$folder
    done
    printf '%s' "$kept"
)

fits() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && { command -v "$PYTHON"; return; }
        echo "error: PYTHON=$PYTHON is no Python 3.11 or later." >&2
        return 1
    fi
    PATH=$(path_without_venv)
    for candidate in python3.13 python3.12 python3.11 python3 \
        "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.1[1-9]*/bin/python; do
        fits "$candidate" && { command -v "$candidate"; return; }
    done
    cat >&2 <<'EOF'
error: no Python 3.11 or later was found. Install one and run this again:
  Debian, Ubuntu   apt-get install python3 python3-venv
  Fedora           dnf install python3
  macOS            brew install python@3.13
  anywhere         uv python install 3.13, or pyenv install 3.13
or name one: PYTHON=/path/to/python3 sh tools/bootstrap.sh ...
EOF
    return 1
}

python=$(find_python)
cd -- "$root"
exec "$python" -m tools.bootstrap "$@"

#!/bin/sh
# Makes .venv from requirements.lock and installs this checkout into it, editable. Called by `make setup [PYTHON=...]`.
# Needs Python 3.11 to 3.13 and a way to make an environment: the standard library's (Debian: python3-venv), pip, or, as
# root on Debian, apt-get, which then installs python3-venv. pip reads its index from its own configuration only.
set -eu
cd "$(dirname "$0")/.."

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'

find_python() {
    wanted=$1
    if [ -n "$wanted" ]; then set -- "$wanted"; else set -- python3.11 python3.12 python3.13 python3; fi
    for candidate; do
        if command -v "$candidate" >/dev/null && "$candidate" -c "$supported" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    if [ -n "$wanted" ]; then
        echo "PYTHON=$wanted is not a Python 3.11, 3.12 or 3.13." >&2
    else
        echo "No Python 3.11, 3.12 or 3.13 found. On Debian, run: sudo apt-get install -y python3 python3-venv" >&2
        echo "Or name one: make setup PYTHON=/path/to/python3.11" >&2
    fi
    return 1
}

usable() { .venv/bin/python -c "$supported" 2>/dev/null && .venv/bin/python -m pip --version >/dev/null 2>&1; }

make_venv() {
    rm -rf .venv
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
        return
    fi
    # Debian splits ensurepip off into python3-venv; a pip (22.3 or newer) can stand in for it.
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip .venv && "$python" -m pip --quiet --python .venv/bin/python install pip && return
        rm -rf .venv
    fi
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "This Python cannot make environments: installing $package with apt-get" >&2
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
        "$python" -m venv .venv
        return
    fi
    echo "This Python cannot make environments. On Debian, run: sudo apt-get install -y $package" >&2
    return 1
}

if ! usable; then
    python=$(find_python "${1:-}")
    echo "Making .venv with $python"
    make_venv
fi
rm -f .venv/.ready
echo "Installing the locked dependencies into .venv (about a minute, once)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
# hatchling comes from the lock: no isolated, unpinned build environment
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
pwd -P >.venv/.ready

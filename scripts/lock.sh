#!/usr/bin/env bash
# Resolves the version ranges of pyproject.toml in fresh environments and writes every resulting version to requirements/.
# Usage: scripts/lock.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wanted() { # the requirements under one key of pyproject.toml, one a line
    "$python" -c '
import sys, tomllib
value = tomllib.load(open("pyproject.toml", "rb"))
for key in sys.argv[1].split("/"):
    value = value[key]
print("\n".join(value))' "$1"
}

resolve() { # NAME, then pip arguments: writes requirements/NAME.txt
    local name=$1 venv=$work/$1
    shift
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --upgrade pip
    "$venv/bin/python" -m pip install --quiet "$@"
    {
        echo "# Made by 'make lock'; do not edit."
        # A freeze forgets the markers: uvloop has no Windows build.
        "$venv/bin/python" -m pip freeze --exclude pip --exclude setuptools |
            sed "s/^\(uvloop==.*\)/\1 ; sys_platform != 'win32'/"
    } > "$work/$name.txt"
}

wanted build-system/requires > "$work/build.in"
wanted project/dependencies > "$work/runtime.in"
wanted dependency-groups/dev > "$work/dev.in"

resolve build -r "$work/build.in" editables # hatchling asks for it when it makes an editable install
resolve runtime -r "$work/runtime.in"
resolve dev -c "$work/build.txt" -c "$work/runtime.txt" -r "$work/runtime.in" -r "$work/dev.in"
resolve server-time mcp-server-time
resolve server-git mcp-server-git
resolve client-openai openai
# The benchmark's peers get the event loop and the parser that the gateway has, where they bring none.
resolve peer-fastmcp fastmcp uvloop httptools
resolve peer-mcp-proxy mcp-proxy uvloop httptools
resolve peer-contextforge mcp-contextforge-gateway
resolve bench matplotlib

# The development list adds to the runtime list; a line in both would be a second place for one version.
{
    head -n 1 "$work/dev.txt"
    grep -vxFf "$work/runtime.txt" "$work/dev.txt"
} > "$work/dev-only.txt"
mv "$work/dev-only.txt" "$work/dev.txt"

mkdir -p requirements
for name in build runtime dev server-time server-git client-openai peer-fastmcp peer-mcp-proxy peer-contextforge bench; do
    cp "$work/$name.txt" "requirements/$name.txt"
done

#!/usr/bin/env bash
# Installs the programs that the tests and the benchmark call and that this Debian machine lacks; touches nothing else.
# Runs as root or with sudo, and does nothing when all are there.
set -euo pipefail

# a program : the packages that bring it
needed=(
    git:git
    make:make
    cc:gcc,libc6-dev
    node:nodejs
    npm:npm
    wrk:wrk
    prometheus:prometheus
    promtool:prometheus
    chromium:chromium
)

packages=()
for entry in "${needed[@]}"; do
    if ! command -v "${entry%%:*}" > /dev/null; then
        IFS=, read -r -a brings <<< "${entry#*:}"
        packages+=("${brings[@]}")
    fi
done
python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || packages+=(python3 python3-venv)
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get > /dev/null; then
    echo "Please install these with your package manager: ${packages[*]}" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
# RUNLEVEL: what brings a service, such as prometheus, does not start it.
"${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null

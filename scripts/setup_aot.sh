#!/usr/bin/env bash
# Installs what compiles jax programs for NVIDIA GPUs without one (the extra aot-gpu of pyproject.toml, without what it
# depends on: 0.5 GB instead of 4) into the folder aot-gpu of the virtual environment, outside of its site-packages:
# jax would otherwise look for a GPU whenever it starts. Prints the folder.
#
#   PYTHON=  the interpreter (see setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup test >&2
folder=$venv/aot-gpu
version=$("$venv/bin/python" -c 'import jaxlib; print(jaxlib.__version__)')
if [[ $version != "$(cat "$folder/.version" 2>/dev/null)" ]]; then
  echo "setup: installing the wheels of aot-gpu into $folder (minutes the first time)" >&2
  rm -rf "$folder"
  wheels=$("$venv/bin/python" scripts/aot/wheels.py)
  # shellcheck disable=SC2086 # one argument each
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --target "$folder" $wheels >&2 ||
    stop "pip could not install $wheels; see its message above"
  echo "$version" >"$folder/.version"
fi
echo "$folder"

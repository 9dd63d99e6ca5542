#!/usr/bin/env bash
# Installs what compiles jax programs for NVIDIA GPUs and for TPUs without a device: the extras aot-gpu and aot-tpu of
# pyproject.toml, without their dependencies (0.5 GB instead of 4, and 0.65 GB). Each goes into a folder of that name in
# the virtual environment, outside of site-packages: jax would otherwise look for a device whenever it starts.
# Prints the folders. `setup_aot.sh aot-tpu` installs only that one.
#
#   PYTHON=  the interpreter (see setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup test >&2
version=$("$venv/bin/python" -c 'import jaxlib; print(jaxlib.__version__)')
if (($# == 0)); then set -- aot-gpu aot-tpu; fi
for name; do
  folder=$venv/$name
  if [[ $version != "$(cat "$folder/.version" 2>/dev/null)" ]]; then
    echo "setup: installing the wheels of $name into $folder (minutes the first time)" >&2
    rm -rf "$folder"
    wheels=$("$venv/bin/python" bench/aot/wheels.py "$name")
    # shellcheck disable=SC2086 # one argument each
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --target "$folder" $wheels >&2 ||
      stop "pip could not install $wheels; see its message above"
    echo "$version" >"$folder/.version"
  fi
  echo "$folder"
done

#!/usr/bin/env bash
# Checks and times flaxnoise on a machine that has a GPU or TPU and jax, but no network, in under 8 minutes.
#
#   bash scripts/device.sh pack         where there is a network: downloads what such a machine may lack into out/device/wheels
#   bash scripts/device.sh [ARGUMENT…]  on the machine, in a copy of this checkout with that folder; the arguments go to
#                                       bench/device.py. Writes out/device/results.jsonl.
#
#   PYTHON=          the interpreter that has jax (default: python3); for pack, the one whose pip downloads
#   DEVICE_PYTHON=   pack: the version of Python on the machine (default: 3.12)
#   DEVICE_JAX=      pack: the version of jax on the machine (default: 0.11.2)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
folder=out/device

# Prints the requirements of flaxnoise and of bench/device.py, those given as arguments left out.
requirements() {
  "$python" - "$@" <<'PYTHON'
import re, sys, tomllib

needed = [*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], "rich", "scikit-learn"]
print(*(text for text in needed if re.match(r"[\w-]+", text)[0] not in sys.argv[1:]), sep="\n")
PYTHON
}

if [[ ${1:-} == pack ]]; then
  version=${DEVICE_PYTHON:-3.12} jax=${DEVICE_JAX:-0.11.2}
  rm -rf "$folder/wheels"
  mkdir -p "$folder/wheels"
  platforms=()
  for glibc in 34 31 28 27 24 17 12 5; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  mapfile -t needed < <(requirements jax jaxlib)
  "$python" -m pip download -q --disable-pip-version-check --only-binary=:all: --dest "$folder/wheels" \
    --implementation cp --python-version "$version" "${platforms[@]}" --platform manylinux2014_x86_64 --platform any \
    "jax==$jax" "jaxlib==$jax" "${needed[@]}"
  # These come with jax itself.
  rm -f "$folder"/wheels/{jax,jaxlib,numpy,scipy,ml_dtypes,opt_einsum}-*.whl
  du -sh "$folder/wheels"
  exit
fi

# An environment of its own, which sees the packages of the interpreter behind its own.
rm -rf "$folder/venv"
"$python" -m venv --without-pip "$folder/venv"
own=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import site, sys; print(*dict.fromkeys([*site.getsitepackages(), *sys.path[1:]]), sep="\n")' >"$own/interpreter.pth"
mapfile -t needed < <(requirements)
"$python" -m pip --python "$folder/venv/bin/python" install -q --disable-pip-version-check --no-index \
  --find-links "$folder/wheels" "${needed[@]}" || {
  echo "device.sh: a package is missing: run 'bash scripts/device.sh pack' where there is a network, and copy $folder/wheels" >&2
  exit 1
}
exec "$folder/venv/bin/python" bench/device.py --output "$folder/results.jsonl" "$@"

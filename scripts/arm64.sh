#!/usr/bin/env bash
# Runs tests of an arm64 wheel on this machine: with Debian's Python for arm64 and jaxlib's arm64 wheel, emulated by
# qemu-user-static. For releases; minutes on an idle machine, and 1 GB in out/arm64. Needs no root.
#
#   bash scripts/arm64.sh [pytest arguments]     dist/flaxnoise-*-manylinux_2_27_aarch64.whl, made by scripts/wheels.sh
#   JAX_VERSION=  the version of jax and jaxlib (default: the newest that pip finds for Python 3.11)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stop() {
  echo "arm64: $1" >&2
  exit 1
}

type -P qemu-aarch64-static >/dev/null || stop "qemu-aarch64-static is needed: apt-get install qemu-user-static"
type -P apt-get >/dev/null || stop "apt-get is needed, for Debian's Python"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keys ]] || stop "Debian's keys are needed: apt-get install debian-archive-keyring"
wheel=$(echo dist/flaxnoise-*-manylinux_2_27_aarch64.whl)
[[ -e $wheel ]] || stop "there is no one arm64 wheel in dist; make it with: bash scripts/wheels.sh linux-aarch64"
here=$PWD/out/arm64
root=$here/debian
mkdir -p "$here"

# Unpacks Debian's packages, with an apt of its own: the package lists of this machine stay as they are.
if [[ ! -e $root/usr/bin/python3.11 ]]; then
  echo "arm64: unpacking Debian's Python"
  state=$here/apt
  rm -rf "$state" "$root"
  mkdir -p "$state"/{lists,cache/archives}/partial "$root"
  touch "$state/status"
  echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" >"$state/sources.list"
  apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o Dir::State="$state"
    -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache"
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Acquire::Languages=none
    -o Debug::NoLocking=1)
  "${apt[@]}" update
  "${apt[@]}" install --yes --download-only --no-install-recommends python3.11 libstdc++6 libgomp1
  for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
  rm -r "$state"
fi

# The emulated interpreter. It takes this file for its own path, so that tests can start it again.
cat >"$here/python" <<SCRIPT
#!/bin/sh
# cortex-a72: with all extensions of qemu's default, OpenBLAS warns about divisions by zero (NumPy issue 28687).
exec qemu-aarch64-static -cpu cortex-a72 -L "$root" -0 "$here/python" "$root/usr/bin/python3.11" "\$@"
SCRIPT
chmod +x "$here/python"

jax=${JAX_VERSION:-}
packages=(jax${jax:+"==$jax"} jaxlib${jax:+"==$jax"} flax optax chex numpy pytest pytest-xdist hypothesis mpmath)
if [[ ! -e $here/site/.complete || ${packages[*]} != "$(<"$here/site/.complete")" ]]; then
  echo "arm64: installing ${packages[*]}"
  rm -rf "$here/site"
  platforms=()
  for platform in 2_28 2_27 2_26 2_17; do platforms+=(--platform "manylinux_${platform}_aarch64"); done
  python3 -m pip install -qq --disable-pip-version-check --target "$here/site" --python-version 3.11 \
    --implementation cp --only-binary :all: "${platforms[@]}" --platform manylinux2014_aarch64 "${packages[@]}"
  echo "${packages[*]}" >"$here/site/.complete"
fi
rm -rf "$here/wheel" "$here/tree"
python3 -m zipfile -e "$wheel" "$here/wheel"

# A copy of the repository without the package's modules, so that those of the wheel are imported.
git ls-files | grep -v '^flaxnoise/.*\.py$' | while read -r file; do
  mkdir -p "$here/tree/$(dirname "$file")"
  cp "$file" "$here/tree/$file"
done
if (($# == 0)); then
  set -- -n 2 --dist worksteal tests/cpu/test_{handler,in_place,stream,thresholds}.py \
    tests/stream/test_{known_answers,vectors}.py
fi
cd "$here/tree"
export PYTHONHOME=$root/usr PYTHONPATH=$here/wheel:$here/site PYTHONDONTWRITEBYTECODE=1
emulated() { env -u VIRTUAL_ENV -u FLAXNOISE_BACKEND -u FLAXNOISE_SIMD "$here/python" "$@"; }
emulated scripts/wheels/smoke.py
emulated -m pytest -q "$@"

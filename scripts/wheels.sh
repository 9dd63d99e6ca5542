#!/usr/bin/env bash
# Builds the wheels of a release, with the compiled kernel, and the sdist on one x86-64 Linux machine: for Linux x86-64
# and arm64 (glibc 2.27 and later, like jaxlib) and macOS arm64. Zig compiles for all of them. Checks what it built, and
# tests the wheel of this platform in a new environment without a compiler. A wheel fits every Python version.
#
#   bash scripts/wheels.sh [linux-x86_64] [linux-aarch64] [macos-arm64]     all by default; into dist/
#   PYTHON=  the interpreter (see setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup wheels
python=$venv/bin/python
# Called by its path, as pip hides the environment's packages from builds.
zig=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What a build needs, for this machine: pip's isolated environments would be of the wheel's platform.
"$python" -m venv "$work/build"
"$work/build/bin/python" -m pip install -qq --disable-pip-version-check cmake ninja scikit-build-core wheel
"$work/build/bin/python" - <<'PYTHON' | xargs -d '\n' "$work/build/bin/python" -m pip install -qq --disable-pip-version-check --no-deps
import tomllib

with open("pyproject.toml", "rb") as file:
    requires = tomllib.load(file)["build-system"]["requires"]
print(*(line for line in requires if line.startswith("jaxlib")), sep="\n")  # for its headers
PYTHON

wheel() { # NAME TARGET SYSTEM PROCESSOR HOST TAG
  local name=$1 target=$2 system=$3 processor=$4 host=$5 tag=$6 compiler
  echo "wheels: $tag"
  mkdir -p "$work/$name"
  for compiler in cc c++; do
    printf '#!/bin/sh\nexec "%s" %s -target %s "$@"\n' "$zig" "$compiler" "$target" >"$work/$name/$compiler"
    chmod +x "$work/$name/$compiler"
  done
  CC=$work/$name/cc CXX=$work/$name/c++ FLAXNOISE_KERNEL=1 _PYTHON_HOST_PLATFORM=$host \
    "$work/build/bin/python" -m pip wheel -qq --no-build-isolation --no-deps --no-cache-dir -w "$work/$name" . \
    -C cmake.define.CMAKE_SYSTEM_NAME="$system" -C cmake.define.CMAKE_SYSTEM_PROCESSOR="$processor" \
    -C cmake.define.CMAKE_INSTALL_NAME_TOOL="$(type -P true)" || # CMake wants it for macOS, and does not call it
    stop "the wheel for $name was not built; see the compiler's message above"
  "$python" -m wheel tags --remove --platform-tag "$tag" "$work/$name"/*.whl >/dev/null
  mv "$work/$name"/*.whl dist/
}

if (($# == 0)); then set -- linux-x86_64 linux-aarch64 macos-arm64; fi
rm -rf dist
mkdir dist
for name; do
  case $name in
    linux-x86_64) wheel "$name" x86_64-linux-gnu.2.27 Linux x86_64 linux-x86_64 manylinux_2_27_x86_64 ;;
    linux-aarch64) wheel "$name" aarch64-linux-gnu.2.27 Linux aarch64 linux-aarch64 manylinux_2_27_aarch64 ;;
    macos-arm64) wheel "$name" aarch64-macos.11.0 Darwin arm64 macosx-11.0-arm64 macosx_11_0_arm64 ;;
    *) stop "no platform is called $name" ;;
  esac
done
"$python" -m build -q --sdist --outdir dist .
"$python" -m twine check --strict dist/*
"$python" scripts/wheels/check.py dist
for built in dist/*manylinux*_x86_64.whl; do
  [[ -e $built ]] || continue
  "$python" -m venv "$work/new"
  "$work/new/bin/python" -m pip install -qq --disable-pip-version-check "$built"
  (cd "$work" && PATH=$work/new/bin new/bin/python -W error "$OLDPWD/scripts/wheels/smoke.py")
done
ls -l dist

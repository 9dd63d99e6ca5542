#!/usr/bin/env bash
# Installs this checkout from source in every way that the guide on installation names, each into an environment of its
# own, and prints a table: what was tried, and whether the compiled kernel or XLA serves and gives the right values.
# Fails if a row is not as expected. Needs the network, and takes a quarter of an hour on an idle machine.
#
#   bash scripts/installations.sh [REGEX]     the rows whose names match (default: all)
#   PYTHON=  the interpreter of most rows (default: python3)
#
# Compilers and interpreters that are not here are listed as not run. Debian and Ubuntu have most of them:
#   apt-get install g++-{10,11,12,13,14} clang-{13,14,15,16,17,18,19}
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
only=${1:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CC CXX FLAXNOISE_KERNEL FLAXNOISE_BACKEND FLAXNOISE_SIMD PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_CACHE_DIR=$work/uv
failed=0
table=$work/table
printf '%-44s %-9s %s\n' installation serves 'seconds, or why not' >"$table"

# A copy, since builds from the tree itself may find what earlier builds left.
git ls-files | while read -r file; do
  mkdir -p "$work/source/$(dirname "$file")"
  cp "$file" "$work/source/$file"
done

note() { printf '%-44s %-9s %s\n' "$1" "$2" "$3" | tee -a "$table"; }

# Runs a command that installs into $env, then the kernel's smoke test or, where XLA is expected, a call and its warning.
row() { # NAME EXPECTED COMMAND…, with EXPECTED kernel or xla
  local name=$1 expected=$2 log=$work/log serves begin=$SECONDS
  shift 2
  [[ $name =~ $only ]] || return 0
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log"
    failed=1
    note "$name" nothing "the installation failed; its last lines are above"
    return
  fi
  serves=$(cd "$work" && "$env/bin/python" -W ignore -c '
import flaxnoise
print("kernel" if flaxnoise.backends()["cpu"] == "available" else "xla")' 2>>"$log") || serves=nothing
  if [[ $serves == kernel ]]; then
    (cd "$work" && "$env/bin/python" -W error "$work/source/scripts/wheels/smoke.py") >>"$log" 2>&1 || serves=wrong
  elif [[ $serves == xla ]]; then
    (cd "$work" && "$env/bin/python" -c '
import warnings, jax, flaxnoise
with warnings.catch_warnings(record=True) as caught:
    flaxnoise.dropout(jax.random.key(0), jax.numpy.ones(9), 0.5)
assert len(caught) == 1, caught
print(flaxnoise.backends()["cpu"])') >>"$log" 2>&1 || serves=wrong
  fi
  if [[ $serves == "$expected" ]]; then
    note "$name" "$serves" "$((SECONDS - begin))"
  else
    tail -n 20 "$log"
    failed=1
    note "$name" "$serves" "expected: $expected; the last lines are above"
  fi
}

# Environments: a full one, and cheap ones that see the full one's packages.
full() { # INTERPRETER COMMAND…
  env=$(mktemp -d "$work/env.XXXX")
  "$1" -m venv "$env" && "$env/bin/python" -m pip install -q "${@:2}" "$work/source"
}
cheap() { # COMMAND…
  env=$(mktemp -d "$work/env.XXXX")
  "$base/bin/python" -m venv --without-pip "$env" && see "$packages" && "$@"
}
see() { echo "$1" >"$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/${2:-packages}.pth"; }
pip() { "$env/bin/python" -m pip install -q --no-deps --ignore-installed "$@"; }

isolated() { pip "$work/source"; }
offline() { pip --no-index --no-build-isolation "$work/source"; }
editable() { pip --no-build-isolation --editable "$work/source"; }
with_uv() { "$packages/../../../bin/uv" pip install -q --no-deps --python "$env/bin/python" "$work/source"; }
from_sdist() {
  (cd "$work/source" && "$env/bin/python" -c "
from scikit_build_core.build import build_sdist
build_sdist('$env')") && pip "$env"/*.tar.gz
}
compiled_by() { # COMPILER C++-COMPILER
  CC=$1 CXX=$2 offline
}
without_jaxlib() {
  "$base/bin/python" -m pip install -q --target "$env/tools" pip scikit-build-core
  see "$env/tools"
  offline
  see "$packages"
}

base=$work/base
echo "making the environment that the others share"
"$python" -m venv "$base"
"$base/bin/python" -m pip install -q jax jaxlib flax optax chex numpy scikit-build-core cmake ninja uv
packages=$("$base/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
version=$("$base/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

row "pip, Python $version" kernel cheap isolated
row "uv" kernel cheap with_uv
row "from an sdist" kernel cheap from_sdist
row "editable" kernel cheap editable
row "offline, without build isolation" kernel cheap offline
row "offline, without jaxlib at build time" xla cheap without_jaxlib
row "CXX=/bin/false" xla cheap compiled_by /bin/false /bin/false
for number in 10 11 12 13 14; do
  if command -v "g++-$number" >/dev/null; then
    row "GCC $number" kernel cheap compiled_by "gcc-$number" "g++-$number"
  else
    note "GCC $number" "not run" "g++-$number is not here"
  fi
done
for number in 13 14 15 16 17 18 19; do
  if command -v "clang++-$number" >/dev/null; then
    row "clang $number" kernel cheap compiled_by "clang-$number" "clang++-$number"
  else
    note "clang $number" "not run" "clang++-$number is not here"
  fi
done
for other in 3.11 3.12 3.13 3.14 3.15; do
  [[ $other != "$version" ]] || continue
  interpreter=$(compgen -G "$HOME/.pyenv/versions/$other.*/bin/python" | tail -n 1) || interpreter=$(command -v "python$other") ||
    interpreter=$("$base/bin/uv" python find --managed-python "$other" 2>/dev/null) ||
    interpreter=$({ "$base/bin/uv" python install -q "$other" && "$base/bin/uv" python find "$other"; } 2>/dev/null) ||
    interpreter=
  if [[ -n $interpreter ]]; then
    row "pip, Python $other" kernel full "$interpreter"
  else
    note "pip, Python $other" "not run" "no interpreter, and uv could not download one"
  fi
done
echo
cat "$table"
exit "$failed"

#!/usr/bin/env bash
# Checks format, lint, types and import order, then runs the tests; stops at the first failure.
# Arguments go to pytest: `bash scripts/test.sh tests/stream -k philox`.
#
#   PYTHON=                 the interpreter (see setup.sh)
#   FLAXNOISE_TEST_STAGES=  all (default), lint, or tests
#   FLAXNOISE_TEST_DEVICES= some (default) or all of the GPUs and TPUs that tests compile for ahead of time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup test

stages=${FLAXNOISE_TEST_STAGES:-all}
case $stages in
  all | lint | tests) ;;
  *) stop "FLAXNOISE_TEST_STAGES must be all, lint or tests, got $stages" ;;
esac

stage() {
  echo "== $*"
  "$venv/bin/$1" "${@:2}" || {
    echo "test.sh: failed: $*" >&2
    exit 1
  }
}

"$venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from platform import python_version

print(f"== Python {python_version()},", *(f"{name} {version(name)}" for name in ("jax", "jaxlib", "flax")))
PYTHON
if [[ $stages != tests ]]; then
  stage ruff format --check .
  stage ruff check .
  stage basedpyright --pythonpath "$venv/bin/python"
  stage lint-imports
  stage clang-format --dry-run -Werror flaxnoise/backends/cpu/cpp/*.{h,cc} tests/cpu/*.{h,cc} bench/*.cc
fi
if [[ $stages != lint ]]; then
  echo "== pytest $*"
  exec "$venv/bin/python" -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
fi

#!/usr/bin/env bash
# Builds the documentation into out/docs/index.html; a warning is an error.
#
#   PYTHON=  the interpreter (see setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup docs
rm -rf out/docs
"$venv/bin/python" -m sphinx -q -W --keep-going -j auto -b html -d out/.doctrees scripts/docs out/docs
echo "The documentation is in out/docs/index.html."

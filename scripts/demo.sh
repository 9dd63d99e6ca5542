#!/usr/bin/env bash
# Trains small Flax models on real data with the main layers. Arguments go to demo.py.
#
#   PYTHON=  the interpreter (see setup.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup examples
exec "$venv/bin/python" scripts/demo.py "$@"

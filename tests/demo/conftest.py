"""Puts scripts/ on the path, so that tests import the parts of the demo like scripts/demo.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "scripts"))

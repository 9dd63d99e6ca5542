"""Lets the tests import the parts of the demo as scripts/demo.py does."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "scripts"))

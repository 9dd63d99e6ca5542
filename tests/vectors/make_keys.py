"""Writes keys.json, pinned keys and bits of flaxnoise.random.key, from the NumPy reference only.

A difference from the committed file is a breaking change, to be listed in CHANGELOG under Streams.
Usage: python tests/vectors/make_keys.py
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import key_reference  # noqa: E402

SEEDS = [0, 1, 42, -1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63)]
SPLITS = [*range(5), 1023, 2**20]
FOLDS = [*range(5), 1023, 2**30, 2**31, 2**32 - 1]
WIDTHS = (8, 16, 32, 64)
SIZE = 9


def hexadecimal(values: Iterable[int], bit_width: int = 32) -> str:
    return " ".join(f"{int(value):0{bit_width // 4}x}" for value in values)


def pinned(seed: int) -> dict:
    words = key_reference.of_seed(seed)
    key = tuple(int(word) for word in words)
    return {
        "seed": seed,
        "key": hexadecimal(words),
        "split": {n: hexadecimal(key_reference.split(key, n)) for n in SPLITS},
        "fold_in": {n: hexadecimal(key_reference.fold_in(key, n)) for n in FOLDS},
        "bits": {w: hexadecimal(key_reference.bits(key, w, SIZE), w) for w in WIDTHS},
    }


def text() -> str:
    return json.dumps([pinned(seed) for seed in SEEDS], indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "keys.json").write_text(text())

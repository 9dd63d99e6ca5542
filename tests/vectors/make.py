"""Writes stream.json, the pinned noise of a few keys, from the NumPy reference only.

A difference from the committed file is a breaking change, to be listed in CHANGELOG under Streams.
Usage: python tests/vectors/make.py
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import reference  # noqa: E402

INDICES = [
    *range(16),
    *range(510, 515),
    *range(1020, 1031),
    *range(2**32 - 2, 2**32 + 3),
    *(2**33 + 5, 2**40 + 1023, 2**63 + 7),
]
KEYS = {
    "two words: threefry2x32, philox4x32": [0x9E3779B9, 0x00000007],
    "four words: rbg, unsafe_rbg, threefry4x32": [0x00000000, 0xDEADBEEF, 0x12345678, 0xFFFFFFFF],
    "one word: philox2x32": [0x0BADCAFE],
}


def pinned(key: reference.Key) -> dict[str, str]:
    """Returns kind → hex words of the elements; floats as the bits of their float32."""
    i = np.array(INDICES, np.uint64)
    arrays = {
        "bits": reference.bits(key, i),
        "halves": reference.halves(key, i),
        "uniform": reference.uniform(key, i).view(np.uint32),
        "unit_uniform": reference.unit_uniform(key, i).view(np.uint32),
        "normal": reference.normal(key, i).astype(np.float32).view(np.uint32),
        "laplace": reference.laplace(key, i).astype(np.float32).view(np.uint32),
    }
    return {kind: hexadecimal(array) for kind, array in arrays.items()}


def hexadecimal(words: Iterable[int]) -> str:
    return " ".join(f"{word:08x}" for word in words)


def text() -> str:
    streams = []
    for name, data in KEYS.items():
        k0, k1, k2, k3 = data + [0] * (4 - len(data))
        streams.append({"key": name, "words": hexadecimal(data), **pinned((k0, k1, k2, k3))})
    indices = " ".join(str(i) for i in INDICES)
    return json.dumps({"indices": indices, "streams": streams}, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "stream.json").write_text(text())

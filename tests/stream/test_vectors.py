"""The noise equals the pinned vectors, at the first elements and far beyond 2^32."""

import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from every import every
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.noise import draw

VECTORS = Path(__file__).parents[1] / "vectors"
PINNED = json.loads((VECTORS / "stream.json").read_text())
INDICES = np.array([int(i) for i in PINNED["indices"].split()], np.uint64)
STREAMS = every("stream", PINNED["streams"], ids=lambda stream: stream["key"])


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], np.uint32)


def drawn(kind: str, stream: dict[str, str], threshold: int | None = None) -> np.ndarray:
    key = np.zeros(4, np.uint32)
    key[: stream["words"].count(" ") + 1] = words(stream["words"])
    low, high = (INDICES & 0xFFFFFFFF).astype(np.uint32), (INDICES >> 32).astype(np.uint32)
    drop = None if threshold is None else jnp.uint32(threshold)
    with jax.enable_x64(True):
        return np.asarray(draw(KINDS[kind], tuple(key), jnp.asarray(low), jnp.asarray(high), drop))


def test_reference_still_gives_the_pinned_noise():
    spec = importlib.util.spec_from_file_location("make", VECTORS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert (VECTORS / "stream.json").read_text() == make.text()


@STREAMS
@every("kind", ["bits", "uniform", "unit_uniform"])
def test_words_and_uniforms_are_the_pinned_ones(kind, stream):
    assert drawn(kind, stream).view(np.uint32).tolist() == words(stream[kind]).tolist()


@STREAMS
@every("threshold", [1 << 30, 6554 << 15, 12345, (1 << 31) - 12345])
def test_masks_are_the_pinned_ones(stream, threshold):
    expected = words(stream["halves"]) >> 1 >= threshold
    assert drawn("keep", stream, threshold).tolist() == expected.tolist()


@STREAMS
@every("kind", ["normal", "laplace"])
def test_what_has_a_logarithm_is_the_pinned_one_within_four_ulp(kind, stream):
    exact = words(stream[kind]).view(np.float32)
    # The pinned value is itself rounded by up to half an ulp.
    assert np.max(np.abs(drawn(kind, stream) - exact) / np.spacing(np.abs(exact))) <= 4.5

"""The kernel for GPUs draws the stream: words, masks and uniforms exactly, normals within ulps."""

import math

import jax
import jax.numpy as jnp
import numpy as np

import interpreted_gpu
import reference
from closeness import NOISE_ULPS
from every import every
from flaxnoise.backends.mosaic_gpu.backend import MosaicGpu
from forms import form

KEY = (0xFFFFFFFF, 3, 0x80000000, 7)
RATES = (1 / 65536, 0.3, 65535 / 65536, 1e-5)
# A scalar, an empty array, only a tail, whole tiles, and tiles with a tail of 1 or 3.
SHAPES = ((), (0, 5), (7,), (3, 1025), (4096,), (5123,))
DTYPES = {"bits": jnp.uint32, "keep": jnp.bool_}


def drawn(kind: str, shape: tuple[int, ...], key: jax.Array | None = None, **more: jax.Array):
    key = jnp.uint32(KEY) if key is None else key
    whole = {"global_shape": more.pop("global_shape", None)}
    dtype = DTYPES.get(kind, jnp.float32)
    operands = {"key": key, **more}
    return np.asarray(
        interpreted_gpu.affine(operands, kind=kind, shape=shape, dtype=dtype, **whole)
    )


def index(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)


def threshold(rate: float, rank: int) -> jax.Array:
    return jnp.full((1,) * rank, reference.threshold(rate), jnp.uint32)


@every("shape", SHAPES, ids=str)
def test_words_are_those_of_the_reference(shape: tuple[int, ...]):
    np.testing.assert_array_equal(drawn("bits", shape), reference.bits(KEY, index(shape)))


def test_a_tail_has_the_noise_of_its_place_wherever_the_shard_begins():
    """The start need not be a multiple of four, as in uneven shards; here (1, :2) of the array."""
    whole, start = (4, 3, 1502), 3 * 1502
    words = drawn("bits", (1, 2, 1502), global_shape=whole, start=jnp.uint32([start, 0]))
    np.testing.assert_array_equal(
        words, reference.bits(KEY, index((1, 2, 1502)) + np.uint64(start))
    )


def test_no_examples():
    call = {"kind": "bits", "shape": (2048,), "global_shape": None, "dtype": jnp.uint32}
    words = form(MosaicGpu(), **call)({"key": jnp.zeros((0, 4), jnp.uint32)})
    assert words.shape == (0, 2048)


@every("rate", RATES)
def test_masks_are_those_of_the_reference(rate: float):
    shape = (33, 129)
    mask = drawn("keep", shape, threshold=threshold(rate, len(shape)))
    np.testing.assert_array_equal(mask, reference.keep(KEY, index(shape), rate))


def test_normals_are_those_of_the_reference_within_ulps():
    shape = (3, 1371)
    n = reference.normal(KEY, index(shape))
    allowed = NOISE_ULPS * np.spacing(np.float32(abs(n)))
    assert np.all(abs(drawn("normal", shape) - n) <= allowed)
    keep = reference.keep(KEY, index(shape), 0.3)
    masked = drawn("masked_normal", shape, threshold=threshold(0.3, 2))
    np.testing.assert_array_equal(masked == 0, keep)
    assert np.all(abs(masked - np.where(keep, 0, n)) <= allowed)


@every(
    ("shape", "whole", "first"),
    [
        ((2, 1024), (7, 1024), (3, 0)),  # whole rows; the start is a multiple of a tile
        ((3, 684), (7, 1368), (4, 684)),  # sharded along both, in fours
        ((3, 5, 121), (2**22, 50, 1021), (2**21 + 5, 40, 900)),  # odd, beyond 2^32
        ((9, 1, 250), (9, 3, 250), (0, 2, 0)),  # a shard of size one
        ((2, 3, 600), (4, 3, 600), (2, 0, 0)),  # contiguous, with a tail
    ],
    ids=str,
)
def test_a_box_of_an_array_has_the_noise_of_its_place(shape, whole, first):
    strides = [math.prod(whole[axis + 1 :]) for axis in range(len(whole))]
    start = sum(at * stride for at, stride in zip(first, strides, strict=True))
    places = np.indices(shape, np.uint64)
    i = np.uint64(start) + sum(np.uint64(s) * p for s, p in zip(strides, places, strict=True))
    words = jnp.array([start & 0xFFFFFFFF, start >> 32], jnp.uint32)
    box = {"start": words, "global_shape": whole}
    np.testing.assert_array_equal(drawn("bits", shape, **box), reference.bits(KEY, i))
    mask = drawn("keep", shape, threshold=threshold(0.3, len(shape)), **box)
    np.testing.assert_array_equal(mask, reference.keep(KEY, i, 0.3))

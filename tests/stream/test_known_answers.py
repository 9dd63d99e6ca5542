"""The generator reproduces the known answers that its authors published."""

from pathlib import Path

import jax
import numpy as np

import reference
from every import every
from flaxnoise.stream.noise import Generator
from flaxnoise.stream.philox import philox4x32, philox4x32_in_halves, philox4x32_in_u64

VECTORS = Path(__file__).parents[1] / "vectors" / "philox_kat.txt"
ROWS = [line.split() for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
ANSWERS = [[int(word, 16) for word in row] for row in ROWS]

of_each_form = every("form", [philox4x32, philox4x32_in_halves, philox4x32_in_u64])


@every("answer", ANSWERS)
def test_reference_gives_the_published_words(answer):
    counter, key, words = answer[:4], answer[4:6], answer[6:]
    assert [int(word) for word in reference.philox4x32(tuple(counter), (key[0], key[1]))] == words


@every("answer", ANSWERS)
@every("jit", [False, True])
@of_each_form
def test_library_gives_the_published_words(form: Generator, answer: list[int], jit: bool):
    words = np.array(answer, np.uint32)
    with jax.enable_x64(True):
        function = jax.jit(form) if jit else form
        drawn = function(tuple(words[:4]), tuple(words[4:6]))
    assert [int(word) for word in drawn] == answer[6:]


@of_each_form
def test_every_word_of_counter_and_key_counts(form: Generator):
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**32, (6, 64), np.uint32)
    for changed in range(6):
        other = words.copy()
        other[changed] ^= np.uint32(1) << np.arange(64, dtype=np.uint32) % 32
        with jax.enable_x64(True):
            first, second = (form(tuple(w[:4]), tuple(w[4:])) for w in (words, other))
        flipped = np.bitwise_count(np.array(first) ^ np.array(second))
        assert 15 < flipped.mean() < 17

"""No wrong attention is timed, and the picture has every contender."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from bench import attention, plot, results
from bench.measure import Setting, WrongError
from every import every

SETTING = Setting((1, 512, attention.HEADS, attention.SIZE), direction="gradient")


def rows_of(mask: np.ndarray | None, rate: float) -> list[np.ndarray]:
    """Returns y and dq of the rows that are checked; ``rate`` gives the scale."""
    q, k, v, dy = (x[0, :, 0].astype(np.float64) for x in attention.inputs(SETTING))
    scores = q[: attention.ROWS] @ k.T / attention.SIZE**0.5
    w = np.exp(scores)
    w /= w.sum(-1, keepdims=True)
    factor = (1.0 if mask is None else mask) / (1 - rate)
    dw = factor * (dy[: attention.ROWS] @ v.T)
    dq = w * (dw - (w * dw).sum(-1, keepdims=True)) @ k / attention.SIZE**0.5
    found = []
    for own in ((w * factor) @ v, dq):
        whole = np.zeros((1, 512, attention.HEADS, attention.SIZE))
        whole[0, : attention.ROWS, 0] = own
        found.append(whole)
    return found


MASKS = np.random.default_rng(1).random((2, attention.ROWS, 512)) >= attention.RATE


def test_right_results_pass():
    for work, mask, rate in (
        (attention.WITHOUT, None, 0.0),
        (attention.WITH, MASKS[0], attention.RATE),
    ):
        attention.check(work, SETTING, rows_of(mask, rate), mask)
    attention.check(attention.WITH, SETTING, rows_of(MASKS[0], attention.RATE)[:1], None)


@every(
    ("given", "rate", "known", "text"),
    [
        (MASKS[1], attention.RATE, MASKS[0], "y is off"),  # another mask
        (MASKS[0], 0.0, MASKS[0], "y is off"),  # not scaled
        (None, 0.0, None, "the variance"),  # no dropout
        (MASKS[0] & MASKS[1], 2 * attention.RATE, None, "the variance"),  # a higher rate
    ],
    ids=["another_mask", "not_scaled", "no_dropout", "another_rate"],
)
def test_wrong_results_are_refused(given, rate: float, known, text: str):
    with pytest.raises(WrongError, match=text):
        attention.check(attention.WITH, SETTING, rows_of(given, rate), known)


def test_a_wrong_gradient_is_refused():
    y, dq = rows_of(MASKS[0], attention.RATE)
    with pytest.raises(WrongError, match="dq is off"):
        attention.check(attention.WITH, SETTING, [y, 1.01 * dq], MASKS[0])
    with pytest.raises(WrongError, match="finite"):
        attention.check(attention.WITH, SETTING, [y, jnp.nan * dq], MASKS[0])


def test_the_picture_has_every_contender(tmp_path: Path):
    names = [*attention.FUNCTIONS, (attention.WITH, "torch", "")]
    run = {
        "record": "run",
        "suite": "attention",
        "threads": 2,
        "commit": "0123456789ab",
        "device": "Abacus 9",
        "simd": "avx2",
        "versions": {"jax": "0.10.2"},
    }
    records = [run]
    for work, library, variant in names:
        for length in attention.LENGTHS:
            samples = [length * 1e-6] * 6
            records.append(
                {
                    "record": "time",
                    "suite": "attention",
                    "threads": 2,
                    "work": work,
                    "library": library,
                    "variant": variant,
                    "shape": [1, length, 4, 64],
                    "dtype": "float32",
                    "direction": "gradient",
                    "mode": "jit",
                    "wall": samples,
                    "cpu": samples,
                }
                | ({} if library == "torch" else {"temporary": length << 10})
            )
    file = tmp_path / "a.jsonl"
    results.write(file, records)
    plot.main([str(file), "--folder", str(tmp_path)])
    assert (tmp_path / "bench_attention.png").read_bytes().startswith(b"\x89PNG")
    time, memory = plot.attention(records[1:], run).axes
    shown = [len(axes.get_legend().get_texts()) for axes in (time, memory)]
    assert shown == [
        len(names) + 1,
        len(names),
    ]  # plus the line of length²; torch has no memory facts

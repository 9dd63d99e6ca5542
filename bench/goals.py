"""Compares results with the goals of the library.

python -m bench goals        reads bench/results, writes bench/results/goals.md
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bench import results
from bench.aot import TPUS
from bench.contenders import DEFAULT_KEY
from bench.intervals import Spread
from bench.measure import Record

Where = dict[str, Any]


class Goal(NamedTuple):
    """An upper bound for a measured number, or for a ratio or difference of two.

    Attributes:
        suite: the suite whose records are compared.
        ours: fields that select the records.
        most: the bound.
        what: "cpu" or "wall" time, or the name of a fact.
        over: fields that select the record to divide by; other fields are those of ours.
        above: fields that select the record to subtract instead.
        why: explains a miss.
    """

    suite: str
    ours: Where
    most: float
    what: str = "cpu"
    over: Where | None = None
    above: Where | None = None
    why: str = ""


def _ours(work: str, **where: Any) -> Where:
    return {"work": work, "library": "flaxnoise", "variant": "cpu", **where}


def _other(work: str, library: str, variant: str = "", **where: Any) -> Where:
    return {"work": work, "library": library, "variant": variant, **where}


FORWARD = {"dtype": "float32", "direction": "forward", "mode": "jit"}
SIZES = ([256, 1024], [1024, 1024], [4096, 1024])
SCALE = {"work": "scale", "library": "jax", "variant": "x * 1.25"}
FLAX = {"library": "flax.linen", "variant": DEFAULT_KEY}
FLOAT32 = {"dtype": "float32"}
CHAIN, BARE = "bias+gelu+dropout+residual", "bias+gelu+nothing+residual"

SMALL = "a second kernel would cost more than it saves below a million elements"
TRACED = "whether the result is x itself is known only at run time"
KEYS = "the key is loaded, and each thread computes its round keys"
SHARDS = "the index of a shard's first element is loaded and added"
HALVES = "every element is converted, and ptxas does not pair the conversions"
INSIDE = "XLA copies x and y; where rows end inside a tile, a block serves 4 elements"
TWICE = "the gradient draws the noise again, so that no mask is kept; XLA compiles both generators"
UNSHARED = "a map takes XLA for TPUs longer, so that each layer has a generator of its own"
HELD = "Flax's layer keeps 32 bits an element for the backward pass, and folds and splits keys"

LAYERS = (
    Goal("layers", _ours("dropout", shape=[4096, 1024], **FORWARD), 2.0, over=SCALE),
    Goal("layers", _ours("dropout", mode="donated"), 1.3, over=SCALE),
    *(
        Goal("layers", _ours("dropout", shape=shape, **FORWARD), most, over=_other(*other))
        for shape in SIZES
        for other, most in (
            (("dropout", "flax.linen", DEFAULT_KEY), 1 / 20),
            (("dropout", "flax.linen", "philox2x32"), 1 / 3),
        )
    ),
    *(
        Goal("layers", _ours(work, shape=shape, **FORWARD), most, over=_other(work, *other))
        for shape in SIZES[::2]
        for work, other, most in (
            ("gaussian_noise", ("jax.random", DEFAULT_KEY), 1 / 10),
            ("gaussian_noise", ("torch",), 1 / 3),
            ("normal", ("numpy", "SFC64"), 1 / 5),
        )
    ),
    Goal(
        "layers",
        _ours("dropout", dtype="bfloat16", direction="forward", mode="jit"),
        1.1,
        over={"dtype": "float32"},
    ),
    Goal("layers", _ours("dropout", shape=[1024, 1024], **FORWARD), 0.1, what="kept"),
)
MODELS = (
    Goal("models", {"library": "flaxnoise"}, 1.05, over=_other("", "none")),
    Goal(
        "keys",
        {"library": "flax.linen", "variant": "flaxnoise", "direction": "training step"},
        1.05,
        over=_other("", "none"),
        why=HELD,
    ),
    *(
        Goal("keys", _other("dropout", "flax.linen", "flaxnoise"), most, over={"variant": key})
        for key, most in ((DEFAULT_KEY, 1 / 5), ("philox2x32", 1 / 2))
    ),
    *(
        Goal("compile", {"library": "flaxnoise", **device}, most, what=what, over=FLAX, why=why)
        for device, why in (
            ({"mode": "cpu"}, TWICE),
            ({"mode": "h100"}, TWICE),
            ({"mode": "v5e"}, UNSHARED),
        )
        for what, most in (("cpu", 1.0), ("text", 4.0))
    ),
)


def _attention(length: int, direction: str, most: float, over: Where, **where: Any) -> Goal:
    """A goal for attention with dropout, on 4 heads of 64."""
    setting = {"shape": [1, length, 4, 64], "dtype": "float32", "direction": direction}
    return Goal("attention", _ours(WITH_DROPOUT, **setting), most, over=over, **where)


HALF = "a tile of 512 keys uses half of each word drawn; tiles of 1024 keys exceed the caches"
FASTER = "where the goal was set, torch took 436 and 725 ms, and flaxnoise 73 and 250"
LAYERS_OF_12 = "12 layers of attention"
LOOPS = "XLA compiles two nested loops a layer for each pass"
WITH_DROPOUT, WITHOUT_DROPOUT = "attention with dropout", "attention"
TORCH = {"library": "torch", "variant": ""}
NO_DROPOUT = _other(WITHOUT_DROPOUT, "jax.nn")
AT_RATE_0 = _ours(WITHOUT_DROPOUT)
ATTENTION = (
    *(
        _attention(length, direction, most, over, why=why)
        for over, length, goals, why in (
            (FLAX, 2048, (0.17, 0.2), ""),
            (NO_DROPOUT, 2048, (0.4, 0.4), ""),
            (NO_DROPOUT, 512, (0.75, 1.0), ""),
            (AT_RATE_0, 2048, (1.15, 1.25), HALF),
            (TORCH, 2048, (0.2, 0.4), FASTER),
        )
        for direction, most in zip(("forward", "gradient"), goals, strict=True)
    ),
    *(
        Goal(
            "attention",
            _ours(WITHOUT_DROPOUT, shape=[1, length, 4, 64], dtype="float32", direction=direction),
            1.0,
            over=NO_DROPOUT,
        )
        for length in (512, 2048)
        for direction in ("forward", "gradient")
    ),
    _attention(2048, "gradient", 1 / 15, FLAX, what="temporary"),
    _attention(8192, "gradient", 4.4, {"shape": [1, 2048, 4, 64]}, what="temporary"),
    *(
        Goal("attention", _ours(WITH_DROPOUT, direction=way, dtype="bfloat16"), 1.0, over=FLOAT32)
        for way in ("forward", "gradient")
    ),
    Goal("attention", {"work": LAYERS_OF_12, "library": "flaxnoise"}, 1.0, over=FLAX, why=LOOPS),
)


def _compiled(device: str, case: str, dtype: str, most: float, why: str = "", above: str = ""):
    """A goal for machine instructions per element on GPU, bundles per 1024 elements on TPU."""
    what = "bundles" if device in TPUS else "instructions"
    bare = {"case": above, "shape": [1024, 1024]} if above else None
    return Goal(f"aot {device}", {"case": case, "dtype": dtype}, most, what, None, bare, why)


BLOCKWISE = "attention with dropout, blockwise, gradient"
TILES = "XLA keeps one tile's scores, weights and their gradients in memory, as naive attention all"


def _compiled_attention(device: str, other: str, most: float, what: str, why: str = "") -> Goal:
    """A goal for the gradient of the blockwise form, relative to another form of attention."""
    return Goal(
        f"aot attention {device}", {"case": BLOCKWISE}, most, what, {"case": other}, why=why
    )


AHEAD_OF_TIME = (
    *(
        goal
        for device in ("h100", "v5e")
        for goal in (
            _compiled_attention(
                device, "attention with dropout, naive, gradient", 0.5, "temporary"
            ),
            _compiled_attention(
                device, "attention with dropout, naive, gradient", 1, "moved", TILES
            ),
            _compiled_attention(device, "attention, jax.nn, gradient", 1.2, "moved"),
        )
    ),
    _compiled("h100", "dropout", "float32", 27),
    _compiled("h100", "dropout", "bfloat16", 31),
    _compiled("h100", "dropout, gradient", "float32", 27),
    _compiled("h100", "dropout, gradient", "bfloat16", 31),
    _compiled("h100", "dropout, ragged", "float32", 36),
    _compiled("h100", "dropout, small and ragged", "float32", 36, SMALL),
    _compiled("h100", "dropout, traced rate", "float32", 27, TRACED),
    _compiled("h100", "dropout, traced rate", "bfloat16", 31, TRACED),
    _compiled("h100", "dropout, a key per example", "float32", 27, KEYS),
    _compiled("h100", "dropout, a key per example", "bfloat16", 31, KEYS),
    _compiled("h100", "dropout, four devices", "float32", 27, SHARDS),
    _compiled("h100", "gaussian_noise", "float32", 60),
    _compiled("h100", "gaussian_noise", "bfloat16", 62),
    _compiled("h100", "dropout, mosaic_gpu", "float32", 14),
    _compiled("h100", "dropout, mosaic_gpu", "bfloat16", 15),
    _compiled("h100", CHAIN, "float32", 25, above=BARE),
    _compiled("h100", CHAIN, "bfloat16", 25, HALVES, BARE),
    _compiled("v5e", "dropout", "float32", 20, INSIDE),
)
GOALS = (*LAYERS, *MODELS, *ATTENTION, *AHEAD_OF_TIME)


def reached(goal: Goal, records: Sequence[Record]) -> list[tuple[Record, Spread | None]]:
    """The records of a goal, each with its number; None if there is no record to compare with."""
    kinds = ("time", "compiled")
    own = [r for kind in kinds for r in results.of(records, kind, suite=goal.suite)]
    found = []
    for record in own:
        if all(record.get(name) == value for name, value in goal.ours.items()):
            beside = goal.over or goal.above
            other = None if beside is None else _beside(record, beside, own)
            number = None if beside and other is None else _number(goal, record, other)
            found.append((record, number))
    return found


def _beside(record: Record, where: Where, own: Sequence[Record]) -> Record | None:
    """Returns the record that equals this one except in the fields of ``where``, if any."""
    names = ("work", "library", "variant", "case", "threads", "shape", "dtype", "direction", "mode")
    wanted = {name: record[name] for name in names if name in record}
    wanted |= {name: value for name, value in where.items() if value or name == "variant"}
    return next((r for r in own if all(r.get(n) == v for n, v in wanted.items())), None)


def _number(goal: Goal, record: Record, other: Record | None) -> Spread:
    if goal.what in ("cpu", "wall"):
        assert other is not None
        return results.relative(record, other, goal.what)
    value = float(record[goal.what])
    if other is not None:
        own = float(other[goal.what])
        value = value / own if goal.over else value - own
    return Spread(value, value, value)


def table(records: Sequence[Record]) -> str:
    """Returns the goals that the records have numbers for, as a table in Markdown."""
    lines = [
        "# Goals and results",
        "",
        "Written by `python -m bench goals` from the results in this folder. CPU times have 95 %",
        "intervals; instructions are per element, bundles per 1024 elements.",
        "",
        "| suite | ours | setting | what | goal | reached | |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    for goal in GOALS:
        for record, number in reached(goal, records):
            if number is not None:
                lines.append(_line(goal, record, number))
    return "\n".join(lines) + "\n"


def _line(goal: Goal, record: Record, number: Spread) -> str:
    who = record.get("case") or f"{record['work']}, {results.name(record)}"
    where = " ".join(
        str(value)
        for value in (
            "×".join(map(str, record["shape"])),
            *(record.get(name) for name in ("dtype", "direction", "mode")),
            f"{record['threads']} threads" if record.get("threads") else "",
        )
        if value
    )
    beside = goal.over or goal.above
    words = " ".join(str(v) for v in (beside or {}).values() if v and not isinstance(v, list))
    words = ("÷ " if goal.over else "− ") + words if words else ""
    what = "CPU time" if goal.what == "cpu" else goal.what
    verdict = f"missed: {goal.why}".rstrip(": ") if number.median > goal.most else "met"
    if number.low < goal.most < number.high:
        verdict += " (within the interval)"
    interval = "" if number.low == number.high else f" ({number.low:.3g} to {number.high:.3g})"
    cells = (goal.suite, who, where, f"{what} {words}".strip(), f"{goal.most:.3g}")
    return f"| {' | '.join(cells)} | {number.median:.3g}{interval} | {verdict} |"


def main() -> None:
    files = sorted(results.FOLDER.glob("*.jsonl"))
    text = table([record for file in files for record in results.read(file)])
    results.FOLDER.joinpath("goals.md").write_text(text)
    print(text)

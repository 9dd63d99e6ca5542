"""The goals for compiled code, and what of them the rows of the report reach."""

from typing import NamedTuple

CHAIN, BARE = "bias+gelu+dropout+residual", "bias+gelu+nothing+residual"


class Goal(NamedTuple):
    """At most so many instructions an element (GPU) or bundles for 1024 elements (TPU).

    Attributes:
        device: which.
        case: of the report, in all its shapes.
        dtype: of x.
        most: the goal.
        above: the case on top of which it counts.
        why: what explains a miss.
    """

    device: str
    case: str
    dtype: str
    most: float
    above: str = ""
    why: str = ""


SMALL = "a second kernel would cost more than it saves below a million elements"
TRACED = "whether x itself is the result is known only when it runs"
KEYS = "the key is loaded, and its sums are each thread's own"
SHARDS = "a shard's first element is loaded, and added"
HALVES = "conversions of every element, which ptxas does not pair"
INSIDE = "XLA copies x and y; of rows that end inside of a tile, a block serves 4 elements"

GOALS = (
    Goal("h100", "dropout", "float32", 27),
    Goal("h100", "dropout", "bfloat16", 31),
    Goal("h100", "dropout, gradient", "float32", 27),
    Goal("h100", "dropout, gradient", "bfloat16", 31),
    Goal("h100", "dropout, ragged", "float32", 36),
    Goal("h100", "dropout, small and ragged", "float32", 36, why=SMALL),
    Goal("h100", "dropout, traced rate", "float32", 27, why=TRACED),
    Goal("h100", "dropout, traced rate", "bfloat16", 31, why=TRACED),
    Goal("h100", "dropout, a key per example", "float32", 27, why=KEYS),
    Goal("h100", "dropout, a key per example", "bfloat16", 31, why=KEYS),
    Goal("h100", "dropout, four devices", "float32", 27, why=SHARDS),
    Goal("h100", "gaussian_noise", "float32", 60),
    Goal("h100", "gaussian_noise", "bfloat16", 62),
    Goal("h100", "dropout, mosaic_gpu", "float32", 14),
    Goal("h100", "dropout, mosaic_gpu", "bfloat16", 15),
    Goal("h100", CHAIN, "float32", 25, above=BARE),
    Goal("h100", CHAIN, "bfloat16", 25, above=BARE, why=HALVES),
    Goal("v5e", "dropout", "float32", 20, why=INSIDE),
)


def table(rows: list[dict]) -> str:
    """Markdown; only the goals that the rows have something for."""
    lines = [
        "# What compiled code reaches of its goals",
        "",
        "Instructions an element on GPU, bundles for 1024 elements on TPU; compiled ahead of time,",
        "not run. Written by `scripts/aot_report.py` from the rows of aot.json.",
        "",
        "| device | case | shape | dtype | goal | reached | |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    for goal in GOALS:
        for row in (r for r in rows if _is_of(r, goal.device, goal.case, goal.dtype)):
            reached, most = _count(row), f"{goal.most:g}"
            if goal.above:
                (bare,) = (r for r in rows if _is_of(r, goal.device, goal.above, goal.dtype))
                reached, most = reached - _count(bare), f"{goal.most:g} above {goal.above}"
            verdict = "met" if reached <= goal.most else f"missed: {goal.why}"
            shape = "×".join(map(str, row["shape"]))
            lines.append(
                f"| {goal.device} | {goal.case} | {shape} | {goal.dtype} | {most} "
                f"| {reached:.1f} | {verdict} |"
            )
    return "\n".join(lines) + "\n"


def _is_of(row: dict, *of: str) -> bool:
    return (row["device"], row["case"], row["dtype"]) == of


def _count(row: dict) -> float:
    return row["instructions"] if "instructions" in row else row["bundles"]

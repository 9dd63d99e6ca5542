"""The tables on speed in the documentation, in Markdown.

A number is printed only if its 95 % interval ends within ±10 % of it, and the run began on a clean
commit with a load average below 0.3. Other cells stay empty. A ratio is printed only if its own
interval is as narrow.
"""

import functools
import textwrap
from collections.abc import Callable, Iterable, Sequence

from bench import results
from bench.contenders import DEFAULT_KEY
from bench.intervals import spread
from bench.measure import Record
from bench.report import ours

SQUARE = [1024, 1024]
NAMES = {"copy": "a copy of x", "scale": "x * 1.25", "none": "no dropout"}
UNKNOWN = "Not measured yet: `python -m bench all --output bench/results/cpu.jsonl` does.\n"
DIRECTIONS = {"forward": "forward", "gradient": "with gradient"}

Cell = Callable[[Record], str]


def section(records: Sequence[Record], source: str) -> str:
    """Returns the section in Markdown, without the two marks.

    Args:
        records: the records of a results file.
        source: the path of that file from the root of the repository.
    """
    if not records:
        return UNKNOWN
    suites = (layers, models, attention, keys, compile_time)
    tables = [line for suite in suites for line in suite(records)]
    runs = results.of(records, "run")
    return "\n".join([*tables, *footnote(runs, source), ""])


def layers(records: Sequence[Record]) -> list[str]:
    own = results.of(records, suite="layers", shape=SQUARE, dtype="float32", mode="jit")
    if not own:
        return []
    size = "×".join(map(str, SQUARE))
    lines = [
        f"Wall nanoseconds per element of a jitted call, {size} float32; in brackets CPU time "
        "relative to flaxnoise's. Gradients include the forward pass.",
        "",
    ]
    for work in ("dropout", "gaussian_noise"):

        def cell(record: Record, work: str = work) -> str:
            text = number(record, records, 1e9 / results.elements(record), ".2f")
            base = ours(work, (r for r in own if results.same_row(r, record)))
            if base is record:
                return f"**{text}**" * bool(text)
            if not text or base is None or not results.printable(base, records):
                return text
            times = results.relative(record, base, "cpu")
            return text + f" ({times.median:.1f}×)" * times.is_narrow

        wanted = [r for r in own if r["work"] in ("copy", "scale", work)]
        lines += grid(work, wanted, name, _column, cell)
    return lines


def models(records: Sequence[Record]) -> list[str]:
    own = results.of(records, suite="models")
    if not own:
        return []
    text = "A whole training step, milliseconds of wall time, "
    return [
        text + f"{threads(own[0])}; in brackets CPU time relative to no dropout:",
        "",
        *grid("model", own, lambda r: r["work"], name, relative_to_none(records, own)),
    ]


def attention(records: Sequence[Record]) -> list[str]:
    works = ("attention with dropout", "attention")
    own = results.of(records, suite="attention", dtype="float32", work=works)
    if not own:
        return []

    def cell(record: Record) -> str:
        text = number(record, records, 1e3, ".1f")
        memory = f", {record['temporary'] / 2**20:.0f} MiB" if "temporary" in record else ""
        return text and text + memory

    lines = [
        f"Attention of 4 heads of 64, milliseconds of wall time and temporary memory, "
        f"{threads(own[0])}:",
        "",
        *grid(
            "length",
            own,
            lambda r: f"{r['shape'][1]}, {DIRECTIONS[r['direction']]}",
            lambda r: results.name(r) + ", no dropout" * (r["work"] == "attention"),
            cell,
        ),
    ]
    steps = results.of(records, suite="attention", direction="training step")
    if steps:
        step = relative_to_none(records, steps)
        lines += ["A training step at length 1024, milliseconds:", ""]
        lines += grid("model", steps, lambda r: r["work"], name, step)
    built = results.of(records, suite="attention", direction="compile")
    if built:
        lines += ["Seconds to lower and compile a gradient:", ""]
        seconds = functools.partial(number, records=records, scale=1, form=".2f")
        lines += grid("program", built, lambda r: r["work"], name, seconds)
    return lines


def keys(records: Sequence[Record]) -> list[str]:
    own = results.of(records, suite="keys")
    if not own:
        return []
    text = "The same functions under other key implementations, wall nanoseconds per element"
    layer = [r for r in own if r["direction"] == "forward"]
    steps = [r for r in own if r["direction"] == "training step"]

    def cell(record: Record) -> str:
        return number(record, records, 1e9 / results.elements(record), ".2f")

    lines = [f"{text}, {threads(own[0])}:", ""]
    lines += grid("function", layer, lambda r: f"{r['library']} {r['work']}", _key, cell)
    if steps:
        step = relative_to_none(records, steps)
        lines += ["A training step with Flax's dropout under each of them, milliseconds:", ""]
        lines += grid("model", steps, lambda r: r["work"], _key, step)
    return lines


def compile_time(records: Sequence[Record]) -> list[str]:
    own = results.of(records, suite="compile", work="24 layers", direction="compile")
    if not own:
        return []

    def cell(record: Record) -> str:
        seconds = number(record, records, 1, ".2f")
        return f"{seconds} s, {record['text'] / 1e3:.0f} kB" if seconds else ""

    text = "Seconds to lower and compile 24 equal layers, and the length of the lowered text"
    return [f"{text}:", "", *grid("device", own, lambda r: r["mode"], name, cell)]


def grid(
    corner: str,
    records: Iterable[Record],
    row: Callable[[Record], str],
    column: Callable[[Record], str],
    cell: Cell,
) -> list[str]:
    """Returns the lines of a Markdown table, rows and columns in the order of the records."""
    records = [*records]
    rows, columns = (dict.fromkeys(map(name, records)) for name in (row, column))
    cells = {(row(record), column(record)): cell(record) for record in records}
    body = [[name, *(cells.get((name, at), "") for at in columns)] for name in rows]
    lines = [[corner, *columns], ["---", *["---:"] * len(columns)], *body]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def number(record: Record, records: Sequence[Record], scale: float, form: str) -> str:
    """Returns the median wall time as text, or "" if it may not be printed."""
    if not results.printable(record, records):
        return ""
    return format(spread(record["wall"]).median * scale, form)


def relative_to_none(records: Sequence[Record], own: Sequence[Record]) -> Cell:
    def cell(record: Record) -> str:
        text = number(record, records, 1e3, ".1f")
        (base,) = (r for r in own if r["library"] == "none" and r["work"] == record["work"])
        if not text or base is record or not results.printable(base, records):
            return text
        times = results.relative(record, base, "cpu")
        return text + f" ({times.median:.2f}×)" * times.is_narrow

    return cell


def name(record: Record) -> str:
    return NAMES.get(record["work"]) or NAMES.get(record["library"]) or results.name(record)


def _key(record: Record) -> str:
    if record["variant"] == DEFAULT_KEY:
        return f"{DEFAULT_KEY} (default)"
    return record["variant"] or name(record)


def _column(record: Record) -> str:
    return f"{DIRECTIONS[record['direction']]}, {threads(record)}"


def threads(record: Record) -> str:
    return f"{record['threads']} thread" + "s" * (record["threads"] > 1)


def footnote(runs: Sequence[Record], source: str) -> list[str]:
    """Returns the hardware, versions and commands, and what in the run leaves cells empty."""
    runs = [run for run in runs if not run["suite"].startswith("aot")]
    last = runs[-1]
    versions = ", ".join(f"{name} {text}" for name, text in last["versions"].items())
    commits = " and ".join(dict.fromkeys(run["commit"] for run in runs))
    loads = " and ".join(dict.fromkeys(str(run["load"]) for run in runs))
    commands = " and ".join(dict.fromkeys(f"`{run['command']}`" for run in runs))
    doubts = dict.fromkeys(doubt for run in runs for doubt in results.doubts(run))
    text = (
        f"Measured on {max(run['threads'] for run in runs)} cores of {last['device']} "
        f"({last['simd']}), Python {last['python']}, {versions}, at commit {commits}, load average "
        f"{loads} at the start, by {commands}: medians of interleaved samples with warm caches; "
        "every result was checked first. A number is printed if its 95 % interval is narrower than "
        f"±10 %. All samples are in `{source}`, from which this section is generated."
    )
    if doubts:
        text += f" Cells are empty because {' and '.join(doubts)}."
    return textwrap.wrap(text, 130, break_long_words=False, break_on_hyphens=False)

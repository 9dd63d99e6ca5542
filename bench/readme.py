"""Writes the tables on speed from a results file: README's short ones, and those of the guide.

python -m bench.readme                  from bench/results/cpu.jsonl
python -m bench.readme FILE --check     fails if a page differs from what it would write

README.md has ratios to the main baselines, scripts/docs/guides/speed.md all tables (``tables`` says
which numbers are printed), and both guides speed and attention the picture of attention, if that
suite is in the results. ``python -m bench.plot`` draws it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import results
from bench.measure import Record
from bench.report import ours
from bench.tables import SQUARE, grid, name, number, relative_to_none, section, threads

README = results.ROOT / "README.md"
GUIDES = results.ROOT / "scripts" / "docs" / "guides"
BEGIN = "<!-- speed: written by python -m bench.readme -->"
END = "<!-- end of speed -->"
PICTURE = results.ROOT / "scripts" / "docs" / "pictures" / "4_attention.png"
GUIDE = "[all tables, and how they were measured](scripts/docs/guides/speed.md)"
# Work → the baselines in README.
SHORT = {"dropout": ("flax.linen", "torch"), "gaussian_noise": ("jax.random", "torch")}
LENGTHS = (2048, 8192)  # of attention, in README


def short(records: Sequence[Record], source: str) -> str:
    """Returns README's section in Markdown, without the two marks: 25 lines at most.

    Args:
        records: the records of a results file.
        source: the path of that file from the root of the repository.
    """
    if not results.of(records):
        return section([], source)
    tables = [line for part in (_layers, _models, _attention) for line in part(records)]
    run = results.of(records, "run")[-1]
    where = f"{run['device']}, jax {run['versions'].get('jax', '')}"
    return "\n".join([*tables, f"On {where}; from `{source}`. See {GUIDE}.", ""])


def _layers(records: Sequence[Record]) -> list[str]:
    setting = {"shape": SQUARE, "dtype": "float32", "mode": "jit"}
    own = results.of(records, suite="layers", threads=1, **setting)
    wanted: list[Record] = []
    for work, libraries in SHORT.items():
        for library in libraries:
            of_library = results.of(own, work=work, library=library)
            # The first variant is that of the default key.
            wanted += [r for r in of_library if r["variant"] == of_library[0]["variant"]]

    def cell(record: Record) -> str:
        rows = [r for r in own if results.same_row(r, record)]
        return _times(record, ours(record["work"], rows), records)

    lines = grid(
        "CPU time relative to flaxnoise's, one thread",
        wanted,
        lambda r: f"{r['work']}, {name(r)}",
        lambda r: r["direction"],
        cell,
    )
    return lines if wanted else []


def _models(records: Sequence[Record]) -> list[str]:
    own = results.of(records, suite="models")
    if not own:
        return []
    corner = f"a training step, ms and CPU time, {threads(own[0])}"
    step = relative_to_none(records, own)
    return grid(corner, own, lambda r: r["work"], name, step)


def _attention(records: Sequence[Record]) -> list[str]:
    setting = {"dtype": "float32", "direction": "gradient"}
    works = ("attention with dropout", "attention")
    own = results.of(records, suite="attention", work=works, **setting)
    own = [r for r in own if r["shape"][1] in LENGTHS]
    base = {r["shape"][1]: r for r in own if (r["work"], r["variant"]) == (works[0], "cpu")}

    def cell(record: Record) -> str:
        length = record["shape"][1]
        if record is base.get(length):
            text = number(record, records, 1e3, ".0f")
            text = text and f"{text} ms"
        else:
            text = _times(record, base.get(length), records)
        memory = f"{record['temporary'] / 2**20:.0f} MiB" if "temporary" in record else ""
        return ", ".join(filter(None, (text, memory)))

    lines = grid(
        "attention and its gradient",
        own,
        lambda r: results.name(r) + ", no dropout" * (r["work"] == "attention"),
        lambda r: f"length {r['shape'][1]}",
        cell,
    )
    return lines if own else []


def _times(record: Record, base: Record | None, records: Sequence[Record]) -> str:
    """The CPU time relative to that of base, or "" if it may not be printed."""
    printable = [r is not None and results.printable(r, records) for r in (record, base)]
    if base is None or not all(printable):
        return ""
    found = results.relative(record, base, "cpu")
    return f"{found.median:.1f}×" * found.is_narrow


def picture(records: Sequence[Record]) -> str:
    """The line that shows the picture of attention, or none without results."""
    if not results.of(records, suite="attention"):
        return ""
    alt = "Time and memory of attention against its length"
    return f"![{alt}](../pictures/{PICTURE.name})\n"


def replaced(page: str, text: str) -> str:
    """Returns a page with this text between the two marks.

    Raises:
        ValueError: the marks do not appear once each, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"The page must have the lines {BEGIN!r} and {END!r}, once each.")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="?", default=results.FOLDER / "cpu.jsonl")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--guides", type=Path, default=GUIDES)
    options = parser.parse_args(arguments)
    path = options.results.resolve()
    inside = path.is_relative_to(results.ROOT)
    source = str(path.relative_to(results.ROOT)) if inside else path.name
    records = results.read(path) if path.exists() else []
    shown = picture(records)
    texts = {
        options.readme: short(records, source),
        options.guides / "speed.md": shown + "\n" * bool(shown) + section(records, source),
        options.guides / "attention.md": shown,
    }
    for page, text in texts.items():
        old = page.read_text()
        new = replaced(old, text)
        if not options.check:
            page.write_text(new)
        elif new != old:
            sys.exit(f"{page} is not what {source} makes of it: run bench.readme again.")
    if shown and not PICTURE.exists():
        sys.exit(f"{PICTURE} is missing: run bench.plot --docs.")


if __name__ == "__main__":
    main()

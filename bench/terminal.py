"""Results as tables on the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from bench import measurements
from bench.measurements import Record

LIMITS = ("copy", "scale")
COLUMNS = 6  # heats in a table
# The largest of all heats, as (name in a record, factor, format).
FACTS = {
    "kept B\nan element": ("kept", 1, ".1f"),
    "temporary\nMB": ("temporary", 1e-6, ".1f"),
    "compile\nms": ("compile", 1e3, ".0f"),
}

console = Console(highlight=False)
if not console.is_terminal:
    console.width = 150


def show(records: Sequence[Record]) -> None:
    for run in measurements.of(records, "run"):
        heading(run)
        clock = measurements.clock([run])
        timed = measurements.of(records, "time", threads=run["threads"])
        absent = measurements.of(records, "absent", threads=run["threads"])
        steps = [record for record in timed if record["pass"] == "training step"]
        layers = [record for record in timed if record["pass"] != "training step"]
        for work in dict.fromkeys(record["work"] for record in layers):
            if work in LIMITS and any(record["work"] not in LIMITS for record in layers):
                continue  # they are lines of the other tables
            show_work(work, layers, [r for r in absent if r["work"] == work], clock)
        for work in dict.fromkeys(record["work"] for record in steps):
            show_model(work, [r for r in steps if r["work"] == work], clock)
    for record in measurements.of(records, "missing"):
        console.print(f"[yellow]missing:[/] {record['library']}: {record['reason']}")
    for record in measurements.of(records, "refused"):
        name, setting = measurements.name(record), measurements.setting(record)
        console.print(f"[bold red]wrong:[/] {record['work']}, {name}, {setting}:")
        console.print(f"  {record['reason']}")


def heading(run: Record) -> None:
    versions = ", ".join(f"{name} {text}" for name, text in run["versions"].items())
    console.rule(f"[bold]{run['threads']} thread(s), {run['device']}", align="left")
    console.print(
        f"{run['platform']}, {run['cores']} cores in use, SIMD {run['simd']}, commit "
        f"{run['commit']}, load {run['load']}, Python {run['python']}, {versions}. "
        "Medians of interleaved samples, warm caches; compilation is timed apart. "
        "Results are fresh, of 16 MB at most, unless donated.",
        style="dim",
    )


def show_work(work: str, layers: Sequence[Record], absent: Sequence[Record], clock: str) -> None:
    """A line for each that does it, after memory's limits: what an element costs in each heat."""
    own = [record for record in layers if record["work"] == work]
    settings = list(dict.fromkeys(measurements.setting(record) for record in own))
    limits = [record for name in LIMITS for record in layers if record["work"] == name]
    own = [r for r in limits if measurements.setting(r) in settings and r not in own] + own
    title = f"{work}: wall ns an element, and in brackets {clock} time relative to flaxnoise's"
    for start in range(0, len(settings), COLUMNS):
        last = start + COLUMNS >= len(settings)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for setting in settings[start : start + COLUMNS]:
            column = setting.replace(" ", "\n")
            table.add_column(column, justify="right", vertical="bottom", no_wrap=True)
        for column in FACTS if last else ():
            table.add_column(column, justify="right", vertical="bottom", no_wrap=True)
        for name in dict.fromkeys(measurements.name(record) for record in own):
            mine = {measurements.setting(r): r for r in own if measurements.name(r) == name}
            here = settings[start : start + COLUMNS]
            cells = [cell(mine.get(setting), own, setting, clock) for setting in here]
            facts = [largest(mine, *entry) for entry in FACTS.values()]
            table.add_row(name, *cells, *(facts if last else ()))
        console.print(table)
        title = f"{work}, continued"
    for reason in dict.fromkeys(f"{measurements.name(r)} {r['reason']}" for r in absent):
        console.print(f"[dim]–: {reason}[/]")


def cell(record: Record | None, own: Sequence[Record], setting: str, clock: str) -> str:
    if record is None:
        return "–"
    text = f"{measurements.nanoseconds(record):.3g}"
    base = ours(own, setting)
    if base is None or base is record:
        return text
    return f"{text} ({measurements.relative(record, base, clock):.3g})"


def ours(records: Sequence[Record], setting: str) -> Record | None:
    """The first backend's: the one that is chosen by itself."""
    found = (
        r for r in records if r["library"] == "flaxnoise" and measurements.setting(r) == setting
    )
    return next(found, None)


def largest(records: dict[str, Record], name: str, factor: float, form: str) -> str:
    """Of all heats."""
    values = [record[name] for record in records.values() if name in record]
    return format(max(values) * factor, form) if values else ""


def show_model(work: str, records: Sequence[Record], clock: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=work, title_justify="left")
    table.add_column("dropout of")
    for name in ("wall ms", "quartiles", "CPU ms", "share of noise", "temporary MB", "compile s"):
        table.add_column(name, justify="right")
    for record in records:
        table.add_row(measurements.name(record), *model_cells(record, records, clock))
    console.print(table)


def model_cells(record: Record, records: Sequence[Record], clock: str) -> list[str]:
    wall, cpu = record["wall"], record["cpu"]
    share = noise_share(record, records, clock)
    return [
        f"{wall['median'] * 1e3:.2f}",
        "–".join(f"{value * 1e3:.2f}" for value in wall["quartiles"]),
        f"{cpu['median'] * 1e3:.2f}",
        "" if share is None else f"{share:.1%}",
        f"{record.get('temporary', 0) / 1e6:.1f}",
        f"{record.get('compile', 0):.2f}",
    ]


def noise_share(record: Record, records: Sequence[Record], clock: str) -> float | None:
    """The share of a training step that it would save to leave noise out."""
    without = measurements.one(records, "time", library="none", work=record["work"])
    if without is None or record is without:
        return None
    return 1 - measurements.relative(without, record, clock)

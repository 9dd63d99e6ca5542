"""Output of the parts: headings, tables and takeaways on the terminal, pictures in a folder."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

matplotlib.use("agg")
matplotlib.rcParams.update(
    {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "figure.dpi": 130,
        "figure.titlesize": 13,
        "font.size": 10,
        "legend.frameon": False,
    }
)

# When the output is not a terminal, rich would assume 80 columns.
console = Console(highlight=False)
if not console.is_terminal:
    console.width = 100

# The colour-blind-safe palette of Okabe and Ito.
COLOURS = {
    "none": "#000000",
    "Dropout": "#0072B2",
    "GaussianDropout": "#56B4E9",
    "GaussianNoise": "#D55E00",
    "MaskedGaussianNoise": "#E69F00",
    "StopGradient": "#009E73",
    "other": "#999999",
}


def colour(layer: str) -> str:
    """Returns the colour of a layer such as "Dropout(0.5)"."""
    return COLOURS[layer.partition("(")[0]]


def stacked(layer: str) -> str:
    """Breaks a layer's name into lines for a narrow column: "Gaussian", "Noise", "(0.3)"."""
    for word in ("Gaussian", "Masked", "Stop"):
        layer = layer.replace(word, f"{word}\n")
    return layer.replace("(", "\n(").replace("\n()", "()")


def heading(number: int, title: str, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {title}", align="left")
    console.print(text, style="dim")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Prints a table whose first ``left`` columns are text and whose others are numbers."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        justify = "left" if place < left else "right"
        grid.add_column(name, justify=justify, vertical="bottom", no_wrap=place >= left)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


def takeaway(text: str) -> None:
    console.print(f"[bold green]→[/] {text}")


def save(figure: Figure, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name)
    console.print(f"[dim]picture: {folder / name}[/]")


def truth(value: bool) -> str:
    return "[green]True[/]" if value else "[bold red]False[/]"


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )

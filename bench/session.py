"""All heats and models with one number of threads."""

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import entrants, machine, measure, models
from bench.measurements import Record


def session(quick: bool, only: str, threads: int, rounds: int) -> list[Record]:
    """All records of one process.

    Args:
        quick: few heats.
        only: part of the names of works to be done; the limits are always measured with them.
        threads: CPUs that this process may use.
        rounds: samples of each.
    """
    platform = jax.devices()[0].platform
    everyone, missing = entrants.everyone(platform)
    heats = []
    for heat, works in measure.heats(quick, platform):
        own = {work for work in works if only in work}
        if own:
            heats.append((heat, entrants.of(everyone, own | set(measure.LIMITS))))
    makers = models.TASKS[:1] if quick else models.TASKS
    tasks = [task for task in (make() for make in makers) if only in task.name]
    steps = sum(len(own) for _, own in heats) + len(tasks) * len(models.LIBRARIES)
    records = [machine.describe(threads, {"quick": quick, "rounds": rounds, "only": only})]
    records += missing
    with _progress() as progress:
        bar = progress.add_task(f"{threads} thread(s)", total=steps)

        def told(what: str) -> None:
            progress.update(bar, advance=1, description=f"{threads} thread(s): {what}")

        for heat, own in heats:
            records += measure.measure(heat, own, rounds, threads, told)
        for task in tasks:
            records += models.measure(task, rounds, threads, told)
    return records


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<48.48}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )

"""Times whole heats: makes all that take part ready, tests their results, then takes turns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from bench import gate
from bench.entrants import Entrant
from bench.laws import LAWS, Blocks
from bench.programs import Heat, Program
from bench.terminal import LIMITS
from bench.timing import interleaved, spread

Record = dict[str, Any]
Told = Callable[[str], object]

MAIN = (*LIMITS, "dropout", "gaussian_noise")
ALL = tuple(LAWS)
OF_MAPS = tuple(
    work for work, law in LAWS.items() if isinstance(law, Blocks) or getattr(law, "shared", ())
)
FLAT = tuple(work for work in ALL if work not in OF_MAPS)
WITHOUT_GRADIENT = ("normal", "token_dropout")
GRADIENT = tuple(work for work in FLAT if work not in WITHOUT_GRADIENT)
MAPS = (*LIMITS, *OF_MAPS)

# A fresh result of more than 16 MB would be timed by the page faults of its memory.
HEATS: tuple[tuple[Heat, tuple[str, ...]], ...] = (
    (Heat((1024,), mode="eager"), MAIN),
    (Heat((1024,)), MAIN),
    (Heat((256, 1024)), (*MAIN, "normal")),
    (Heat((1024, 1024)), FLAT),
    (Heat((4096, 1024)), (*MAIN, "normal")),
    (Heat((16384, 1024), mode="donated"), MAIN),
    (Heat((33, 129, 257)), MAIN),
    (Heat((32, 32, 32, 32)), MAPS),
    (Heat((1024, 1024), "bfloat16"), MAIN),
    (Heat((1024, 1024), direction="gradient"), GRADIENT),
    (Heat((1024, 1024), "bfloat16", "gradient"), MAIN),
    (Heat((32, 32, 32, 32), direction="gradient"), MAPS),
)
QUICK = (
    (Heat((1024, 1024)), MAIN),
    (Heat((1024, 1024), direction="gradient"), MAIN),
)
ON_ACCELERATORS = ((Heat((65536, 1024)), MAIN),)

PIECE = 1 << 18


def heats(quick: bool, platform: str) -> Sequence[tuple[Heat, tuple[str, ...]]]:
    if quick:
        return QUICK
    return HEATS if platform == "cpu" else (*HEATS, *ON_ACCELERATORS)


def measure(
    heat: Heat, entrants: Iterable[Entrant], rounds: int, threads: int, told: Told
) -> Iterator[Record]:
    """A record for each: ``time``, or ``absent`` or ``refused`` with the reason."""
    ready: list[tuple[Record, Program]] = []
    for entrant in entrants:
        told(f"{entrant.work} {entrant.library}")
        about = {
            "work": entrant.work,
            "library": entrant.library,
            "variant": entrant.variant,
            "shape": list(heat.shape),
            "dtype": heat.dtype,
            "pass": heat.direction,
            "mode": heat.mode,
            "threads": threads,
        }
        try:
            program = entrant.build(heat)
            test(entrant.work, heat, program)
        except NotImplementedError as error:
            yield {"record": "absent", **about, "reason": str(error)}
        except gate.WrongError as error:
            yield {"record": "refused", **about, "reason": str(error)}
        except Exception as error:  # of another library: it must not keep the others from running
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            yield {"record": "refused", **about, "reason": reason}
        else:
            ready.append((about, program))
    samples = interleaved([program.run for _, program in ready], rounds, jax.block_until_ready)
    for (about, program), own in zip(ready, samples, strict=True):
        yield timed(about, own, heat.elements, program.facts)


def timed(about: Record, samples: np.ndarray, elements: int, facts: Record) -> Record:
    """The record of one that was timed; samples as of ``interleaved``."""
    clocks = {
        clock: spread(samples[:, column])._asdict() for column, clock in enumerate(("wall", "cpu"))
    }
    return {
        "record": "time",
        **about,
        "elements": elements,
        **clocks,
        "samples": len(samples),
        **facts,
    }


def test(work: str, heat: Heat, program: Program) -> None:
    """The gate: raises gate.WrongError. Of large results it tests four pieces."""
    x = heat.x()
    y, *dx = program.arrays()
    law = LAWS[work]
    if not np.isfinite(y).all():
        raise gate.WrongError("not all numbers are finite")
    if y.shape == x.shape and x.size > 4 * PIECE and x.ndim == 2:
        x, y, *dx = (_pieces(values) for values in (x, y, *dx))
    gate.check(law, heat.dtype, x, y, x if dx else None, dx[0] if dx else None)


def _pieces(values: np.ndarray) -> np.ndarray:
    flat = values.ravel()
    starts = np.linspace(0, flat.size - PIECE, 4).astype(int)
    return np.concatenate([flat[start : start + PIECE] for start in starts])

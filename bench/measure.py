"""Builds and checks the contenders of a row, then times them in interleaved rounds."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from bench.intervals import spread

Record = dict[str, Any]

SAMPLE = {"cpu": 5e-3, "gpu": 20e-3, "tpu": 20e-3}  # least seconds of a sample
MORE = 2  # at most this many times as many rounds, while an interval is wide
WIDE = 0.08  # a little below intervals.NARROW


class WrongError(ArithmeticError):
    """A result does not meet its expectation, so it is not timed."""


class Setting(NamedTuple):
    """What the contenders of a row have in common, besides the work.

    Attributes:
        shape: of x.
        dtype: of x.
        direction: "forward"; "gradient" for y and dx, given dy; or another name of what is timed.
        mode: "jit", "eager", "donated" (y overwrites x), or a name of the suite's own.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    direction: str = "forward"
    mode: str = "jit"

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))

    def x(self) -> np.ndarray:
        """Returns float32 values from 1 to 2, which the expectations assume."""
        return np.linspace(1, 2, self.elements, dtype=np.float32).reshape(self.shape)


class Program(NamedTuple):
    """A contender, ready to run in one setting.

    Attributes:
        run: dispatches the work once and returns what ``wait`` waits for.
        check: raises WrongError if the result is wrong.
        wait: blocks until a result is ready.
        facts: numbers besides times, such as bytes and seconds of compilation.
    """

    run: Callable[[], Any]
    check: Callable[[], None]
    wait: Callable[[Any], Any] = jax.block_until_ready
    facts: Mapping[str, Any] = MappingProxyType({})


class Contender(NamedTuple):
    """One way to do a kind of work: ours or a baseline.

    Attributes:
        work: name of the expectation that its result must meet.
        library: the library it belongs to.
        variant: a backend, a key implementation or a layer of that library.
        build: makes it ready to run; raises NotImplementedError if it does not offer the setting.
    """

    work: str
    library: str
    variant: str
    build: Callable[[Setting], Program]


class Row(NamedTuple):
    """Contenders that are timed against each other in one setting.

    Attributes:
        setting: what they have in common.
        contenders: the ways to do the work.
        most: at most this many samples of each; None for no limit.
    """

    setting: Setting
    contenders: Sequence[Contender]
    most: int | None = None


def measure(
    rows: Iterable[Row], rounds: int, report: Callable[[str], object] = lambda text: None
) -> Iterator[Record]:
    """Yields a record for each contender of each row.

    Args:
        rows: what to time.
        rounds: samples of each contender; up to twice as many while an interval is wide.
        report: called with a line of text before each contender is built.

    Yields:
        ``time`` records with all samples in seconds per call; ``absent`` records for settings that
        a contender does not offer; ``refused`` records for wrong results and failing calls.
    """
    for number, row in enumerate(rows):
        for record in _measure(row, rounds, report):
            yield {**record, "row": number}


def _measure(row: Row, rounds: int, report: Callable[[str], object]) -> Iterator[Record]:
    ready: list[tuple[Record, Program]] = []
    for contender in row.contenders:
        about = {**contender._asdict(), **row.setting._asdict(), "shape": [*row.setting.shape]}
        del about["build"]
        report(f"{contender.work} {contender.library} {contender.variant}")
        try:
            program = contender.build(row.setting)
            program.check()
        except NotImplementedError as error:
            yield {"record": "absent", **about, "reason": str(error)}
        except WrongError as error:
            yield {"record": "refused", **about, "reason": str(error)}
        except Exception as error:  # a library that fails must not prevent timing the others
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            yield {"record": "refused", **about, "reason": reason}
        else:
            ready.append((about, program))
    samples = interleaved([program for _, program in ready], min(rounds, row.most or rounds))
    for (about, program), own in zip(ready, samples, strict=True):
        yield {"record": "time", **about, "wall": own[0], "cpu": own[1], **program.facts}


def seconds(program: Program, repeats: int = 1) -> tuple[float, float]:
    """Returns wall and CPU seconds of some calls; CPU time is that of all threads together."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = None
    for _ in range(repeats):
        result = None  # freed first, so that the next call can reuse its memory
        result = program.run()
    program.wait(result)
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(programs: Sequence[Program], rounds: int) -> list[tuple[list[float], list[float]]]:
    """Returns samples of (wall, CPU) seconds per call for each program.

    Every round samples each program once, so that disturbances affect all of them alike and ratios
    within a round are comparable. The first calls, with cold caches, are not counted.
    """
    least = SAMPLE[jax.default_backend()]
    repeats = []
    for program in programs:
        once = seconds(program)[0]
        if once < 10 * least:
            once = min(seconds(program)[0] for _ in range(2))
        repeats.append(max(1, int(least / max(once, 1e-7))))
    samples: list[tuple[list[float], list[float]]] = [([], []) for _ in programs]
    for turn in range(MORE * rounds):
        if turn >= rounds and (turn - rounds) % 5 == 0 and not any(map(_is_wide, samples)):
            break
        for program, count, own in zip(programs, repeats, samples, strict=True):
            for clock, value in zip(own, seconds(program, count), strict=True):
                clock.append(value / count)
    return samples


def _is_wide(samples: tuple[list[float], list[float]]) -> bool:
    return len(samples[0]) > 5 and any(spread(clock).width > WIDE for clock in samples)

"""The suite of calls for each backend: the range of calls, and the number of drawn examples.

The examples are the same in every run. Compiling forms takes most of the time, so each form is
called with several sets of values. The interpreter of the kernel for GPUs compiles nothing.
"""

from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import conformance
from conformance import Backend
from drawn_calls import Form, Range, forms

SIZES = ((7,), (5, 33), (1025,), (), (2, 1030), (2, 3, 21), (1,), (2, 0, 5), (3, 5), (516,))
ANY = Range(SIZES, dtypes=("float32", "bfloat16", "float16", "float64", "complex64"))
# For GPUs: tiles of each size, with a tail and without, and less than one.
TILES = Range(
    ((1025,), (2, 1033), (3, 5, 121), (4100,), (33, 129), (1024,), (1023,), (2, 1, 2048)),
    batches=((), (), (2,), (2, 1)),
)
# For TPUs: rows of whole registers, of chunks, of neither, and rows that share chunks.
REGISTERS = Range(
    ((5, 128), (1025,), (33, 129), (130, 512), (65, 128), (3, 2048), (0, 128)),
    batches=((), (), (), (2,)),
    rows_alone=True,
)


def drawn(examples: int, *, shrinks: bool = True) -> settings:
    """Returns hypothesis settings for a number of examples; failing ones are shrunk, or not."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if shrinks else [])],
        suppress_health_check=list(HealthCheck),  # they limit time, which compiling exceeds
    )


@dataclass(frozen=True)
class Suite:
    """The calls for one backend.

    Attributes:
        backend: a function of conformance.
        range: the range of the calls.
        examples: the number of drawn examples.
        calls: the number of calls per example, each with its own values.
        forced: the name of the backend, if it may refuse a call.
    """

    backend: Backend
    range: Range
    examples: int
    calls: int = 6
    forced: str | None = None

    def run(self, *, shrinks: bool = True) -> None:
        """Draws the examples, and fails if one differs from the reference."""

        @drawn(self.examples, shrinks=shrinks)
        @given(forms(self.range), st.integers(0, 2**32 - 1))
        def calls_conform(form: Form, seed: int) -> None:
            assume(self.forced is None or conformance.refused(self.forced, form) is None)
            conformance.check(self.backend, form, seed, self.calls)

        calls_conform()


SUITES = {
    "xla": Suite(conformance.xla, ANY, 120),
    "xla_on_gpus": Suite(conformance.xla_on_gpus, ANY, 80),
    "cpu": Suite(conformance.cpu_targets, ANY, 300),
    "mosaic_gpu": Suite(conformance.gpu_interpreted, TILES, 25, calls=1, forced="mosaic_gpu"),
    "mosaic_tpu": Suite(conformance.tpu_interpreted, REGISTERS, 20, forced="mosaic_tpu"),
}

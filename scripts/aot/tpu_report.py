"""Rows of the report for TPUs: static bundles of the loops, and what memory allows."""

import jax

import flaxnoise
from aot import tpu
from aot.cases import (
    BF16,
    CHAIN,
    F32,
    SQUARE,
    STDDEV,
    Case,
    chain,
    dropout,
    flax_dropout,
    flax_dropout_rbg,
    gaussian_dropout,
    gaussian_noise,
    gradient,
    masked_gaussian_noise,
    nothing,
)

# Of a core: published memory bandwidth in bytes/s, and clock in Hz, which the published peak of
# bfloat16 products implies (four units of 128×128 a core; of 256×256 from v6e on).
MEMORY = {"v4": 0.615e12, "v5e": 0.82e12, "v5p": 1.38e12, "v6e": 1.64e12, "tpu7x": 3.7e12}
CLOCK = {"v4": 1.05e9, "v5e": 1.5e9, "v5p": 1.75e9, "v6e": 1.75e9, "tpu7x": 2.2e9}

HEADINGS = {
    "device": "device",
    "case": "case",
    "shape": "shape",
    "dtype": "dtype",
    "kernels": "kernels\nwith loops",
    "bundles": "bundles\nper 1024",
    "spilled": "registers\nspilled",
    "temporary": "temporary\nbytes",
    "bytes": "bytes\nper element",
    "memory_bundles": "memory allows\nbundles per 1024",
}


def with_xla(function):
    """The function in the xla form."""

    def forced(*arguments):
        with flaxnoise.backend("xla"):
            return function(*arguments)

    return forced


# Cores of one kind of vector unit: v5p's gives what v5e's does, tpu7x's what v6e's does.
COMPARED = ("v4", "v5e", "v6e")
ROWS_OF_768, ROWS_OF_512, ROWS_OF_516 = (1024, 768), (1024, 512), (1024, 516)
EXAMPLES = (16, 64, 1024)
FEW_ROWS = ((1 << 20,), (4, 1 << 17))


def compared(name, function, dtype=F32, implementation="threefry2x32", bias=False):
    return Case(name, function, SQUARE, dtype, implementation, bias=bias, only=COMPARED)


CASES = (
    *(Case("dropout", dropout, SQUARE, dtype) for dtype in (F32, BF16)),
    *(
        Case("dropout", dropout, shape, F32)
        for shape in (ROWS_OF_768, ROWS_OF_512, ROWS_OF_516, *FEW_ROWS)
    ),
    Case("dropout", dropout, ROWS_OF_768, BF16),
    Case("dropout, gradient", gradient(dropout), SQUARE, F32),
    Case("dropout, a key per example", jax.vmap(dropout), EXAMPLES, F32, keys=16),
    *(Case("gaussian_noise", gaussian_noise, SQUARE, dtype) for dtype in (F32, BF16)),
    Case("gaussian_dropout", gaussian_dropout, SQUARE, F32),
    Case("masked_gaussian_noise", masked_gaussian_noise, SQUARE, F32),
    *(Case("multiply", lambda key, x: x * 1.25, SQUARE, dtype) for dtype in (F32, BF16)),
    *(compared(CHAIN.format(f.__name__), chain(f), bias=True) for f in (dropout, nothing)),
    compared("dropout, xla form", with_xla(dropout)),
    compared("dropout, xla form", with_xla(dropout), BF16),
    compared("gaussian_noise, xla form", with_xla(gaussian_noise)),
    compared("flax.linen.Dropout, threefry2x32", flax_dropout),
    compared("flax.linen.Dropout, rbg", flax_dropout_rbg, implementation="rbg"),
    compared(
        "x + s·jax.random.normal",
        lambda key, x: x + STDDEV * jax.random.normal(key, x.shape, x.dtype),
    ),
)


def row(device: str, case: Case) -> dict:
    program = tpu.compile_for(device, case.function, *case.arguments())
    moved = 2 * case.dtype.itemsize
    return {
        "device": device,
        "case": case.name,
        "shape": list(case.shape),
        "dtype": case.dtype.name,
        "kernels": len(program.kernels),
        "bundles": round(program.bundles_per_1024(case.dtype.itemsize), 1),
        "spilled": sum(kernel.spilled for kernel in program.kernels),
        "temporary": program.temporary_bytes,
        "bytes": moved,
        "memory_bundles": round(1024 * moved / MEMORY[device] * CLOCK[device], 1),
    }

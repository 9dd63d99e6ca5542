"""The constants of the normal map are those that the script fits."""

import runpy
from pathlib import Path

import numpy as np

from every import every
from flaxnoise.stream import variates

FITS = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "fit_polynomials.py"))
TABLE = {name: getattr(variates, name) for name in FITS["DEGREES"]}


@every("name", TABLE)
def test_constants_are_float32_of_the_lowest_degree_that_is_enough(name):
    assert np.float32(TABLE[name]).tolist() == list(TABLE[name])
    assert len(TABLE[name]) == FITS["DEGREES"][name] + 1


def test_constants_are_a_minimax_fit():
    """Not bit for bit: another LAPACK may change the last bits of the highest coefficients."""
    assert FITS["polynomial_difference"](FITS["fit_all"](), TABLE) < 2.0**-26


@every("multiply_add", ["rounded", "fused"])
def test_worst_radius_times_worst_direction_is_accurate(multiply_add):
    assert FITS["worst_normal"](TABLE, FITS[multiply_add], stride=64) < FITS["LIMIT"]

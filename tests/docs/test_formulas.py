"""Formulas in the first lines of docstrings are converted to LaTeX."""

import runpy
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "scripts" / "docs" / "extensions" / "formulas.py"

pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
FORMULAS = runpy.run_path(str(SOURCE))


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        ("y = x·keep/P(keep)", r"y = x\cdot \mathrm{keep}/P(\mathrm{keep})"),
        ("s = √(rate/(1 − rate))", r"s = \sqrt{\mathrm{rate}/(1 - \mathrm{rate})}"),
        ("n ~ N(0, 1), k·2^-23", r"n \sim  \mathcal{N}(0, 1),\quad  k\cdot 2^{-23}"),
        ("y = x where dropped", r"y = x \text{ where dropped }"),
    ],
)
def test_a_formula_becomes_latex(formula: str, latex: str):
    assert FORMULAS["latex"](formula) == latex


def test_only_a_formula_after_a_colon_is_one():
    split = FORMULAS["split_summary"]
    assert split("Adds noise: y = x + n.") == ("Adds noise", "y = x + n")
    assert split("Drops rows: ``dropout`` of rows.") is None
    assert split("Gives the regulariser.") is None

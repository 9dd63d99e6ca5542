"""Each function has a contender and an expectation under its name, and so has each baseline."""

import inspect
import sys

import pytest

import flaxnoise
from bench import contenders, suites
from bench.expectations import EXPECTATIONS, WITHOUT_GRADIENT
from bench.measure import Contender
from cases import CASES
from every import every
from structured_cases import STRUCTURED

# Functions that draw nothing, and variants of a function that is timed in another dimension.
NOT_TIMED = {
    "concrete_dropout_penalty",
    "variational_dropout_kl",
    "linear_rates",
    "drop_block_1d",
    "drop_block_3d",
    "residual_drop_path",  # its time is that of the branch
    "dot_product_attention",  # has its own suite
}
OPTIONAL = ("flax.linen", "flax.nnx", "optax", "keras", "equinox", "haiku", "torch", "numpy")
PLATFORM = "cpu"


def rows(table) -> list[tuple[str, str]]:
    return [(work, setting.direction) for setting, works in table for work in works]


@every(
    "name",
    dict.fromkeys([*(c.name for c in CASES), *(s.function.__name__ for s in STRUCTURED)]),
)
def test_a_case_is_looked_up_by_its_name(name: str):
    """Benchmarks, expectations and layers use the names of the table of cases."""
    assert name in contenders.OURS
    assert name in EXPECTATIONS
    assert (name, "forward") in rows(suites.LAYERS)
    layer = name.title().replace("_", "")
    for api in ("linen", "nnx"):
        assert hasattr(contenders.load(f"flaxnoise.{api}"), layer)


def test_every_public_function_is_timed():
    public = {
        name
        for name, value in vars(flaxnoise).items()
        if inspect.isfunction(value) and value.__module__.startswith("flaxnoise.functional")
    }
    assert "dropout" in public
    assert public - NOT_TIMED <= set(contenders.OURS)
    assert public > NOT_TIMED


def test_every_contender_has_an_expectation_and_a_row():
    works = {*contenders.OURS, *(c.work for c in contenders.BASELINES), *contenders.DRAWN}
    assert works == set(EXPECTATIONS)
    for direction in ("forward", "gradient"):
        timed = {work for work, way in rows(suites.LAYERS + suites.DEVICE) if way == direction}
        timed |= set(contenders.DRAWN)
        assert works - timed == (set() if direction == "forward" else set(WITHOUT_GRADIENT) - timed)


def test_fresh_results_are_of_16_mb_at_most():
    for setting, _ in (*suites.LAYERS, *suites.QUICK):
        size = setting.elements * (4 if setting.dtype == "float32" else 2)
        assert size <= 16 << 20 or setting.mode == "donated"


def test_baselines_are_what_users_have():
    listed = {contender[:3] for contender in contenders.BASELINES}
    for key in ("threefry2x32", "philox2x32"):
        assert ("dropout", "flax.linen", key) in listed
    for work, layer in (
        ("dropout", "Dropout"),
        ("gaussian_dropout", "GaussianDropout"),
        ("gaussian_noise", "GaussianNoise"),
        ("alpha_dropout", "AlphaDropout"),
        ("spatial_dropout_2d", "SpatialDropout2D"),
    ):
        assert (work, "keras", layer) in listed
    assert {library for _, library, _ in listed} == {"jax", "jax.random", *OPTIONAL}


def test_each_of_our_backends_takes_part_or_is_missing():
    gone = contenders.missing(PLATFORM)
    there = [c for c in contenders.contenders(PLATFORM, "dropout") if c.library == "flaxnoise"]
    expected = [name for name in ("cpu", "xla") if f"flaxnoise ({name})" not in gone]
    assert [contender.variant for contender in there] == expected
    assert "xla" in expected


@pytest.mark.parametrize("gone", OPTIONAL)
def test_a_library_that_is_not_installed_is_listed_and_left_out(
    gone: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, gone, None)
    works = tuple(EXPECTATIONS)
    there = {contender.library for contender in contenders.contenders(PLATFORM, *works)}
    missing = contenders.missing(PLATFORM)
    assert gone in missing
    assert gone not in there
    libraries = {contender.library for contender in contenders.BASELINES}
    assert libraries <= there | set(missing)


def test_keys_are_compared_on_the_same_functions():
    assert {*contenders.KEYS} == {"threefry2x32", "rbg", "philox2x32", "philox4x32", "flaxnoise"}
    found: list[Contender] = [
        contender for row in suites.keys(True, "") for contender in row.contenders
    ]
    expected = [(work, key) for work in contenders.DRAWN for key in contenders.KEYS]
    assert [(contender.work, contender.variant) for contender in found] == expected

"""Wrong numbers are refused, right ones are not, and what is refused is not timed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import check, contenders
from bench.expectations import EXPECTATIONS, FACTOR, OF_MAPS, RATE, STDDEV, WITHOUT_GRADIENT
from bench.measure import Contender, Program, Row, Setting, WrongError, measure
from bench.programs import jax_contender
from every import every

FLAT, MAPS = Setting((33, 129, 16)), Setting((32, 9, 11, 64))
RNG = np.random.default_rng(5)
X = FLAT.x().astype(np.float64)
KEEP = RNG.random(X.shape) >= RATE
NORMAL = RNG.standard_normal(X.shape)


@every("work", contenders.OURS)
def test_our_results_meet_their_expectation(work: str):
    setting = MAPS if work in OF_MAPS else FLAT
    if work not in WITHOUT_GRADIENT:
        setting = setting._replace(direction="gradient")
    contenders.ours(work, "xla").build(setting).check()


@every("work", contenders.DRAWN)
def test_the_functions_of_jax_random_meet_theirs(work: str):
    for contender in contenders.drawn(work, "threefry2x32"):
        contender.build(Setting((256, 257))).check()


@every("dtype", ["bfloat16", "float16"])
def test_rounding_to_narrow_dtypes_is_allowed(dtype: str):
    for work in ("dropout", "gaussian_noise", "chain"):
        setting = FLAT._replace(dtype=dtype, direction="gradient")
        contenders.ours(work, "xla").build(setting).check()


WRONG = {
    "drops too much": ("dropout", X * (RNG.random(X.shape) >= 0.12) / 0.9, "share of value 0"),
    "does not scale": ("dropout", X * KEEP, "a value is off"),
    "scales to the wrong rate": ("dropout", X * KEEP / 0.89, "a value is off"),
    "uses every word twice": (
        "dropout",
        X * np.repeat(KEEP.ravel()[::2], 2)[: X.size].reshape(X.shape) / 0.9,
        "elements 1 apart",
    ),
    "repeats its first half": (
        "dropout",
        X * np.resize(KEEP.ravel()[: X.size // 2], X.shape) / 0.9,
        f"elements {X.size // 2} apart",
    ),
    "is too large": ("gaussian_noise", X + 1.05 * STDDEV * NORMAL, "variance"),
    "is off centre": ("gaussian_noise", X + STDDEV * (NORMAL + 0.05), "mean"),
    "multiplies instead of adding": ("gaussian_noise", X * (1 + 0.3 * NORMAL), "variance"),
    "is not finite": ("normal", np.where(X > 1.999, np.inf, NORMAL), "finite"),
    "changes nothing": ("alpha_dropout", X, "a value is off"),
    "copies something else": ("copy", X + 1e-3, "a value is off"),
    "forgets a row": ("scale", 1.25 * X[:-1], "the shape"),
    "leaves the order": ("permutation", X, "apart are correlated"),
    "loses a row": ("permutation", X[RNG.integers(0, 33, 33)], "not those of x"),
}


@every("name", WRONG)
def test_a_wrong_result_is_refused(name: str):
    work, y, reason = WRONG[name]
    if work == "permutation":
        setting = Setting((8192,))
        x = setting.x()
        y = x if y is X else x[RNG.integers(0, len(x), len(x))]
    else:
        setting = FLAT
    with pytest.raises(WrongError, match=reason):
        check.check(work, setting, (y,))


def test_a_wrong_gradient_is_refused():
    y, other = X * KEEP / 0.9, X * np.roll(KEEP, 1) / 0.9
    check.check("dropout", FLAT, (y, y))
    check.check("gaussian_noise", FLAT, (X + STDDEV * NORMAL, X))
    for work, result, dx in (
        ("dropout", y, other),
        ("gaussian_noise", X + STDDEV * NORMAL, 1.01 * X),
    ):
        with pytest.raises(WrongError, match="the gradient is off"):
            check.check(work, FLAT, (result, dx))


def test_normals_of_jax_are_refused_in_bfloat16_as_the_table_says():
    setting = Setting((512, 1024), "bfloat16")
    noisy = jax_contender("gaussian_noise", "jax.random", "", contenders.jax_noise)
    with pytest.raises(WrongError, match=r"the mean is -0\.01"):
        noisy.build(setting).check()
    assert jnp.abs(jax.random.normal(jax.random.key(1), setting.shape, jnp.bfloat16)).max() < 2.9
    (row,) = contenders.drawn("gaussian_noise", "threefry2x32")
    with pytest.raises(NotImplementedError, match="is biased in bfloat16"):
        row.build(setting)


def test_a_mask_must_be_shared_by_a_feature_map():
    x = MAPS.x()
    y = x * (RNG.random(x.shape) >= RATE) / 0.9
    with pytest.raises(WrongError, match="the noise differs along"):
        check.check("spatial_dropout_2d", MAPS, (y,))


def test_dropped_elements_must_fill_blocks_and_be_made_up_for():
    x = MAPS.x()
    y = np.asarray(contenders.OURS["drop_block_2d"](jax.random.key(1), jnp.asarray(x)))
    check.check("drop_block_2d", MAPS, (y,))
    fewer = y.copy()
    hole = np.argwhere(y == 0)[0]
    fewer[tuple(hole)] = y[:, hole[1], hole[2]].max()
    for wrong, message in [
        (fewer, "kept elements is not the same|do not fill blocks"),
        (np.where(RNG.random(x.shape) < 0.01, 0, y), "do not fill blocks"),
        (np.where(y == 0, y, x), "the mean is"),
        (np.where(RNG.random(x.shape) < 0.5, y, 1.1 * y), "kept elements is not the same"),
    ]:
        with pytest.raises(WrongError, match=message):
            check.check("drop_block_2d", MAPS, (wrong,))


def test_what_acts_backward_must_leave_y_alone_and_change_dx():
    noisy = X + STDDEV * NORMAL
    check.check("gradient_noise", FLAT, (X, noisy))
    for work, y, dx, message in (
        ("gradient_noise", noisy, noisy, "y is not x"),
        ("gradient_noise", X, X + 1.05 * STDDEV * NORMAL, "the variance"),
        ("stop_gradient", X, 0.01 * X, "a value is off"),
    ):
        with pytest.raises(WrongError, match=message):
            check.check(work, FLAT, (y, dx))


def test_large_results_are_checked_at_their_end_too():
    setting = Setting((check.PIECE // 64, 64 * 5))
    y = setting.x() * np.float32(FACTOR)
    check.check("scale", setting, (y,))
    y[-1, -1] = 0
    with pytest.raises(WrongError):
        check.check("scale", setting, (y,))


def test_only_right_results_are_timed_and_failures_keep_no_other_from_running():
    calls = []

    def wrong(setting: Setting) -> Program:
        return Program(
            lambda: calls.append(1), lambda: check.check("copy", setting, (2 * setting.x(),))
        )

    def broken(setting: Setting) -> Program:
        raise TypeError("no such\nargument")

    def unable(setting: Setting) -> Program:
        raise NotImplementedError("has no gradients")

    builds = {"wrong": wrong, "broken": broken, "unable": unable}
    own = [Contender("copy", name, "", build) for name, build in builds.items()]
    fine = jax_contender("copy", "fine", "", lambda key, x: x + 0)
    records = list(measure([Row(FLAT, [*own, fine])], rounds=3))
    assert not calls
    found = {record["library"]: (record["record"], record.get("reason")) for record in records}
    assert found["wrong"][0] == "refused"
    assert "a value is off" in found["wrong"][1]
    assert found["broken"] == ("refused", "TypeError: no such argument")
    assert found["unable"] == ("absent", "has no gradients")
    assert found["fine"] == ("time", None)
    (timed,) = (record for record in records if record["record"] == "time")
    assert len(timed["wall"]) == len(timed["cpu"]) >= 3
    assert timed["compile"] > 0
    assert set(EXPECTATIONS) >= {record["work"] for record in records}


def test_nothing_is_kept_by_ours_and_what_others_keep_is_counted():
    setting = Setting((64, 64))
    ours = contenders.ours("dropout", "xla").build(setting)
    theirs = jax_contender(
        "gaussian_dropout", "", "", lambda key, x: x * jax.random.normal(key, x.shape)
    ).build(setting)
    assert (ours.facts["kept"], theirs.facts["kept"]) == (0, 4)


def test_donated_memory_is_used_again():
    setting = Setting((64, 64), mode="donated")
    program = jax_contender("scale", "", "", lambda key, x: x * FACTOR).build(setting)
    first = program.run()
    program.run()
    assert first.is_deleted()
    program.check()

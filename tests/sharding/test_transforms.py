"""Every function under every transform, sharded over eight devices, equals that on one device."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec

import flaxnoise
from cases import CASES, KEY, Case, array, every_case
from closeness import NOISE_ULPS, assert_within_ulps
from every import every
from meshes import AUTO, EXPLICIT, Program, mesh, put

ARRAYS = X, DX, WEIGHTS = array(8, 24), array(8, 24, seed=1), array(8, 24, seed=2)
KEYS = jax.random.split(KEY, 8)
CUT = ("a", "b")
LOCAL = (4, 6)


def transforms(case: Case) -> Callable[..., dict[str, jax.Array]]:
    """Returns (x, dx, weights) -> results by the name of the transform."""

    def together(x: jax.Array, dx: jax.Array, weights: jax.Array) -> dict[str, jax.Array]:
        def function(x: jax.Array) -> jax.Array:
            return case(KEY, x)

        y, pull = jax.vjp(function, x)
        return {
            "forward": y,
            "jvp": jax.jvp(function, (x,), (dx,))[1],
            "gradient": pull(weights)[0],
            "scan": jax.lax.scan(lambda x, key: (x, case(key, x)), x, KEYS[:2])[1],
        }

    return together


def over_keys(case: Case, axis: str | None) -> Callable[..., jax.Array]:
    return jax.vmap(lambda key, x: case(key, x), spmd_axis_name=axis)


@functools.cache
def on_one_device(case: Case) -> dict[str, jax.Array]:
    return jax.jit(transforms(case))(*ARRAYS)


def assert_equal(case: Case, found: dict[str, jax.Array]) -> None:
    terms = {"jvp": DX, "gradient": WEIGHTS}
    for name, y in found.items():
        case.assert_equal(y, on_one_device(case)[name], terms.get(name, X))


def refused(case: Case) -> bool:
    """Whether the backend refuses the kind of noise, on one device already."""
    try:
        jax.jit(case).lower(KEY, X)
    except NotImplementedError as error:
        return "does not know noise of the kind" in str(error)
    return False


@pytest.mark.parametrize(
    ("served_by", "kind"),
    [("xla", AUTO), ("cpu", AUTO), ("cpu", EXPLICIT)],
    ids=["xla-auto", "cpu-auto", "cpu-explicit"],
    indirect=["served_by"],
)
@every_case
def test_the_same_values_in_the_same_place_without_communication(
    case: Case, served_by: str, kind: AxisType
):
    if refused(case):
        return

    def function(keys: jax.Array, *arrays: jax.Array) -> dict[str, jax.Array]:
        results = transforms(case)(*arrays)
        return {**results, "vmap": over_keys(case, "a" if kind is AUTO else None)(keys, arrays[0])}

    where = mesh(kind)
    cut = [put(array, where, *CUT) for array in ARRAYS]
    program = Program(function, put(KEYS, where, "a"), *cut)
    mapped = program.result.pop("vmap")
    case.assert_equal(mapped, jax.jit(over_keys(case, None))(KEYS, X), X)
    assert_equal(case, program.result)
    for y in (mapped, *(program.result[name] for name in ("forward", "jvp", "gradient"))):
        assert y.sharding.is_equivalent_to(cut[0].sharding, 2)
    assert not program.collectives
    assert program.shards == (set() if served_by == "xla" else {LOCAL})


@pytest.mark.parametrize("served_by", ["cpu"], indirect=True)
@every_case
def test_inside_the_shard_map_of_a_user(case: Case, served_by: str):
    if refused(case):
        return
    spec = PartitionSpec(*CUT)

    def local(*arrays: jax.Array) -> dict[str, jax.Array]:
        with flaxnoise.local_shard(spec):
            return transforms(case)(*arrays)

    out = {"forward": spec, "jvp": spec, "gradient": spec, "scan": PartitionSpec(None, *CUT)}
    where = mesh(AUTO)
    cut = jax.shard_map(local, mesh=where, in_specs=(spec,) * 3, out_specs=out)
    program = Program(cut, *(put(array, where, *CUT) for array in ARRAYS))
    assert_equal(case, program.result)
    assert not program.collectives
    assert program.shards == (set() if served_by == "xla" else {LOCAL})


@every("case", [case for case in CASES if case.learned], ids=lambda c: c.name)
@pytest.mark.parametrize("served_by", ["xla"], indirect=True)
def test_gradients_of_parameters_are_sums_over_the_devices(case: Case, served_by: str):
    """The noise is local; devices only communicate the sums of the parameters' gradients."""
    if refused(case):
        return

    def slopes(x: jax.Array, weights: jax.Array, *params: jax.Array) -> tuple[jax.Array, ...]:
        return jax.grad(lambda params: jnp.sum(weights * case(KEY, x, *params)))(params)

    params = [jnp.float32(value) for value in case.params]
    where = mesh(AUTO)
    cut = [put(v, where, *CUT) for v in (X, WEIGHTS)]
    program = Program(slopes, *cut, *(put(value, where) for value in params))
    expected = jax.jit(slopes)(X, WEIGHTS, *params)
    # |dy/dparameter| < 17·(1 + |x|), as |n| < 17 for Laplace; 192 terms, summed in different order.
    terms = 17 * (abs(WEIGHTS) * (1 + abs(X))).sum()
    for position in case.learned:
        found = program.result[position]
        assert_within_ulps(found, expected[position], terms, ulps=NOISE_ULPS + 191)
    assert program.collectives == {"all-reduce"}

"""jax.checkpoint under every policy that jax has: the noise is drawn again, and is the same."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from cases import CASES, KEY, Case, array, few_cases
from every import every

POLICIES = jax.checkpoint_policies
OFFLOAD = {"offload_src": "device", "offload_dst": "pinned_host"}
NAMED: dict[str, Callable[..., Any]] = {
    "everything_saveable": POLICIES.everything_saveable,
    "nothing_saveable": POLICIES.nothing_saveable,
    "dots_saveable": POLICIES.dots_saveable,
    "checkpoint_dots": POLICIES.checkpoint_dots,
    "dots_with_no_batch_dims_saveable": POLICIES.dots_with_no_batch_dims_saveable,
    "checkpoint_dots_with_no_batch_dims": POLICIES.checkpoint_dots_with_no_batch_dims,
    "offload_dot_with_no_batch_dims": POLICIES.offload_dot_with_no_batch_dims(**OFFLOAD),
    "save_anything_except_these_names": POLICIES.save_anything_except_these_names("noisy"),
    "save_any_names_but_these": POLICIES.save_any_names_but_these("clean"),
    "save_only_these_names": POLICIES.save_only_these_names("noisy"),
    "save_from_both_policies": POLICIES.save_from_both_policies(
        POLICIES.dots_saveable, POLICIES.save_only_these_names("noisy")
    ),
    "save_and_offload_only_these_names": POLICIES.save_and_offload_only_these_names(
        names_which_can_be_saved=["clean"], names_which_can_be_offloaded=["noisy"], **OFFLOAD
    ),
}

# Small integers: the product of matrices is exact in any order.
X = jnp.round(array(5, 8))
KERNEL = jnp.round(array(8, 8, seed=1))
WEIGHTS = array(5, 8, seed=2)


def network(case: Case, x: jax.Array) -> jax.Array:
    clean = checkpoint_name(x @ KERNEL, "clean")
    return jnp.vdot(WEIGHTS, checkpoint_name(case(KEY, clean), "noisy") ** 2)


@functools.cache
def without_checkpoint(case: Case) -> tuple[jax.Array, jax.Array]:
    """Returns the gradient, and the sum of the magnitudes of its terms."""
    h = X @ KERNEL
    slope = 1 + abs(case.tangent(KEY, h, jnp.ones_like(h)))
    terms = (abs(WEIGHTS) * 2 * (abs(h) + abs(case(KEY, h))) * slope) @ abs(KERNEL).T
    return jax.jit(jax.grad(lambda x: network(case, x)))(X), terms


# Which values a policy saves does not depend on the kind of noise.
EACH = [(CASES[0], policy) for policy in NAMED] + [
    (case, policy)
    for case in (CASES[1], CASES[3])
    for policy in ("nothing_saveable", "dots_saveable")
]


@every(("case", "policy"), EACH, ids=lambda value: getattr(value, "name", value))
def test_gradient_is_that_without_checkpoint(case: Case, policy: str):
    plain, terms = without_checkpoint(case)
    again = jax.checkpoint(lambda x: network(case, x), policy=NAMED[policy])
    found = jax.jit(jax.grad(again))(X)
    # Two of our outputs are multiplied, and a sum of eight products may be reordered.
    ulps = (2 * 8 if not case.exact else 0) + 8 + 3
    assert (abs(found - plain) <= ulps * 2.0**-23 * terms).all()


@few_cases
def test_second_derivative_through_checkpoint(case: Case):
    def direction(f: Callable) -> jax.Array:
        return jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (X,))[1])(X)

    plain = direction(lambda x: network(case, x))
    found = direction(jax.checkpoint(lambda x: network(case, x)))
    h = X @ KERNEL
    slope = 1 + abs(case.tangent(KEY, h, jnp.ones_like(h)))
    terms = (abs(WEIGHTS) * 2 * slope**2 * (abs(X) @ abs(KERNEL))) @ abs(KERNEL).T
    ulps = (2 * 8 if not case.exact else 0) + 16 + 3
    assert (abs(found - plain) <= ulps * 2.0**-23 * terms).all()


def test_every_policy_of_this_jax_is_here():
    """If this fails, jax has a new policy: add it above."""
    # jax 0.11 also has classes there, whose names are capitalised.
    assert {name for name in dir(POLICIES) if name.islower() and name[0] != "_"} == set(NAMED)

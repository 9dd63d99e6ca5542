"""The kernel needs Hopper or later: by the program's GPUs, the environment, or those present."""

import types

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from flaxnoise.affine import devices, lowering, private
from flaxnoise.backends.mosaic_gpu.devices import ENVIRONMENT, refusal

KEY, X = jax.random.key(0), jnp.ones((33, 129))
CALL = "mosaic_gpu_v2"


def drop(x: jax.Array) -> jax.Array:
    with flaxnoise.backend("mosaic_gpu"):
        return flaxnoise.dropout(KEY, x, 0.5)


def lowered(function, platform: str = "cuda") -> str:
    """Lowers for an absent platform: jax passes the CPU as the only device."""
    return jax.jit(function).trace(X).lower(lowering_platforms=(platform,)).as_text()


def gpu(capability: str, name: str = "a GPU") -> types.SimpleNamespace:
    return types.SimpleNamespace(compute_capability=capability, device_kind=name)


def at_hand(monkeypatch: pytest.MonkeyPatch, *found: types.SimpleNamespace) -> None:
    monkeypatch.setattr(jax, "devices", lambda platform: found if platform == "cuda" else ())


def test_an_older_gpu_at_hand_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    at_hand(monkeypatch, gpu("9.0"), gpu("8.0", "NVIDIA A100-SXM4-40GB"))
    monkeypatch.delenv(ENVIRONMENT)
    with pytest.raises(NotImplementedError, match=r"9\.0 \(Hopper\) or later.*A100.* has 8\.0"):
        lowered(lambda x: drop(x) + 1)


@pytest.mark.parametrize("capability", ["9.0", "10.0", "12.0"])
def test_hopper_and_later_are_served(monkeypatch: pytest.MonkeyPatch, capability: str):
    at_hand(monkeypatch, gpu(capability))
    monkeypatch.delenv(ENVIRONMENT)
    assert CALL in lowered(lambda x: drop(x) + float(capability))


def test_a_gpu_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ENVIRONMENT)
    with pytest.raises(NotImplementedError, match=r"Say what it has, as FLAXNOISE_CUDA_CAP.*=9\.0"):
        lowered(lambda x: drop(x) + 2)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("8.9", r"FLAXNOISE_CUDA_CAPABILITY has 8\.9"),
        ("sm_90", "FLAXNOISE_CUDA_CAPABILITY is no number: 'sm_90'"),
        ("nan", "FLAXNOISE_CUDA_CAPABILITY has nan"),
    ],
)
def test_what_is_said_counts(monkeypatch: pytest.MonkeyPatch, said: str, reason: str):
    monkeypatch.setenv(ENVIRONMENT, said)
    with pytest.raises(NotImplementedError, match=reason):
        lowered(lambda x: drop(x) + 3)


def test_the_gpus_of_the_program_come_before_those_at_hand(monkeypatch: pytest.MonkeyPatch):
    """As when compiling ahead of time on another machine; the environment is then ignored."""
    at_hand(monkeypatch, gpu("9.0"))
    reason = refusal([gpu("8.0", "A100")], exported=False)
    assert reason is not None
    assert "A100 has 8.0" in reason
    at_hand(monkeypatch, gpu("8.0"))
    monkeypatch.setenv(ENVIRONMENT, "8.0")
    assert refusal([gpu("9.0")], exported=False) is None


def test_what_is_said_of_an_export_comes_first(monkeypatch: pytest.MonkeyPatch):
    """An export is for another machine than the one that jax passes."""
    older, hopper = [gpu("8.0", "A100")], [gpu("9.0")]
    assert refusal(older, exported=True) is None
    monkeypatch.setenv(ENVIRONMENT, "8.0")
    reason = refusal(hopper, exported=True)
    assert reason is not None
    assert "FLAXNOISE_CUDA_CAPABILITY has 8.0" in reason
    monkeypatch.delenv(ENVIRONMENT)
    assert "A100 has 8.0" in str(refusal(older, exported=True))
    assert refusal(hopper, exported=True) is None


def told_to(function, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Returns the devices that were passed to the lowering of each call."""
    told, choose = [], lowering.choose

    def spied(call, forced):
        told.append(call.devices)
        return choose(call, forced)

    monkeypatch.setattr(lowering, "choose", spied)
    lowered(function)
    return told


def test_jax_tells_the_devices_where_the_kernel_is_forced(monkeypatch: pytest.MonkeyPatch):
    """Only there: other programs can be lowered without devices."""
    here = jax.devices()[:1]
    assert told_to(lambda x: drop(x) + 4, monkeypatch) == [tuple(here)]
    gradient = jax.grad(lambda x: jnp.sum(drop(x) ** 2))
    assert told_to(jax.vmap(gradient), monkeypatch)[-2:] == [tuple(here)] * 2
    assert told_to(lambda x: flaxnoise.dropout(KEY, x, 0.5), monkeypatch)[-1:] == [()]


def test_without_the_private_name_of_jax_what_is_said_decides(monkeypatch: pytest.MonkeyPatch):
    registered = private.primitives_that_need_devices()
    assert registered is not None
    registered.discard(devices.asks_devices_p)
    try:
        assert told_to(lambda x: drop(x) + 5, monkeypatch) == [()]
        monkeypatch.delenv(ENVIRONMENT)
        with pytest.raises(NotImplementedError, match="neither known nor at hand"):
            lowered(lambda x: drop(x) + 6)
    finally:
        registered.add(devices.asks_devices_p)


def test_the_key_passes_unchanged():
    keys = jax.random.key_data(jax.random.split(KEY, 3))
    assert (jax.jit(devices.asks_devices)(keys) == keys).all()
    assert (jax.vmap(devices.asks_devices, in_axes=1, out_axes=1)(keys) == keys).all()

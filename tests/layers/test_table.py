"""Every noise function has a layer in both APIs, and every layer a row in the tests' table."""

import inspect

import pytest

from flaxnoise import functional
from layer_table import APIS, ELSEWHERE, ROWS, Api, every_api

ROW_NAMES = {row.name for row in ROWS} | set(ELSEWHERE)


@every_api
def test_every_layer_has_a_row(api: Api):
    missing = sorted(api.public() - ROW_NAMES)
    assert not missing, f"add a row to tests/support/cases.py, or to ELSEWHERE, for {missing}"


@every_api
def test_every_row_has_a_layer(api: Api):
    missing = sorted(ROW_NAMES - api.public())
    assert not missing, f"add a class to flaxnoise.{api} for {missing}"


def test_every_noise_function_has_a_row():
    noises = {
        name
        for name, value in vars(functional).items()
        if inspect.isfunction(value)
        and next(iter(inspect.signature(value).parameters), "") == "key"
    }
    # Attention is a function in Flax as well.
    layers = {name.lower() for name in ROW_NAMES} | {"residualdroppath", "dotproductattention"}
    missing = sorted(name for name in noises if name.replace("_", "") not in layers)
    assert not missing, (
        f"add a row to tests/support/cases.py, and a layer in each API, for {missing}"
    )


def test_both_apis_have_the_same_layers():
    linen, nnx = (api.public() for api in APIS)
    assert linen == nnx, f"add a class for {sorted(linen ^ nnx)}, which one API lacks"


def test_a_layer_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch):
    for api in APIS:
        unknown = type("Salt", (api.base,), {})
        monkeypatch.setattr(api.layers, unknown.__name__, unknown, raising=False)
        with pytest.raises(AssertionError, match=r"add a row .*Salt"):
            test_every_layer_has_a_row(api)
    monkeypatch.delattr(APIS[0].layers, "Salt")
    with pytest.raises(AssertionError, match=r"add a class for \['Salt'\]"):
        test_both_apis_have_the_same_layers()

"""Every noise function has a layer in both APIs, and every layer a row in the tests' table."""

import inspect

from flaxnoise import functional
from layer_table import APIS, ROWS, WITHOUT_NOISE, Api, every_api

ROW_NAMES = {row.name for row in ROWS} | set(WITHOUT_NOISE)


@every_api
def test_every_layer_has_a_row(api: Api):
    missing = sorted(api.public() - ROW_NAMES)
    assert not missing, f"add a row to tests/cases.py for the functions of {missing}"


@every_api
def test_every_row_has_a_layer(api: Api):
    missing = sorted(ROW_NAMES - api.public())
    assert not missing, f"add a class to flaxnoise.{api} for {missing}"


def test_every_noise_function_has_a_row():
    noises = {
        name
        for name, value in vars(functional).items()
        if inspect.isfunction(value) and next(iter(inspect.signature(value).parameters)) == "key"
    }
    missing = sorted(noises - {row.case.name for row in ROWS})
    assert not missing, f"add a row to tests/cases.py, and a layer in each API, for {missing}"


def test_both_apis_have_the_same_layers():
    linen, nnx = (api.public() for api in APIS)
    assert linen == nnx, f"add a class for {sorted(linen ^ nnx)}, which one API lacks"


def test_a_layer_without_a_row_is_noticed(monkeypatch):
    api = APIS[0]
    monkeypatch.setattr(api.layers, "Salt", type("Salt", (api.base,), {}), raising=False)
    assert api.public() - ROW_NAMES == {"Salt"}

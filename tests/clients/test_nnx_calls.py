"""Calls of a replaced nnx model replace what its own code draws: attention as a function."""

import copy
import pickle
import threading

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.linen import attention as linen_attention
from flax.nnx.nn import attention as nnx_attention

import flaxnoise
import flaxnoise.nnx
from cases import array
from closeness import assert_same_bits

X = array(2, 5, 12)
RATE = 0.3


class Block(nnx.Module):
    """Calls attention of both APIs as functions, in __call__ and in another method."""

    def __init__(self, rngs):
        self.dense = nnx.Linear(12, 12, rngs=rngs)
        self.rngs = rngs.dropout.fork()

    def attend(self, q, deterministic):
        rng = None if deterministic else self.rngs()
        options = {"dropout_rate": RATE, "deterministic": deterministic, "precision": "highest"}
        y = nnx.dot_product_attention(q, q, q, dropout_rng=rng, **options)
        weights = nn.dot_product_attention_weights(y, q, dropout_rng=rng, **options)
        return jnp.einsum("...hqk,...khd->...qhd", weights, q)

    def __call__(self, x, deterministic=False):
        q = self.dense(x).reshape(2, 5, 3, 4)
        return x + self.attend(q, deterministic).reshape(2, 5, 12)


class Model(nnx.Module):
    """Blocks, plain, under remat and under scan, with a layer of Flax's dropout."""

    def __init__(self, rngs):
        self.first = Block(rngs)
        self.dropout = nnx.Dropout(RATE, rngs=rngs)

        @nnx.split_rngs(splits=2)
        @nnx.vmap(in_axes=0, out_axes=0)
        def blocks(rngs):
            return Block(rngs)

        self.blocks = blocks(rngs)

    def __call__(self, x, deterministic=False):
        x = nnx.remat(lambda block, x: block(x, deterministic))(self.first, x)
        x = self.dropout(x, deterministic=deterministic)

        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def blocks(x, block):
            return block(x, deterministic)

        return blocks(x, self.blocks)


def replaced(model=Model, **options):
    return flaxnoise.nnx.replace_dropout(model(nnx.Rngs(0)), **options)


def drawn_by(function, *args, **kwargs) -> set[str]:
    return {draw.computed_by for draw in flaxnoise.dropouts(function, *args, **kwargs)}


def state_of_flax() -> list[object]:
    modules = (linen_attention, nnx_attention)
    names = ("random", "jnp", "dot_product_attention_weights")
    return [vars(module)[name] for module in modules for name in names] + [nnx.Dropout.__call__]


@pytest.mark.parametrize("cls", [Block, Model])
def test_all_dropout_of_a_call_is_ours_and_evaluation_is_the_clients_program(cls):
    model, client, before = replaced(cls, strict=True), cls(nnx.Rngs(0)), state_of_flax()
    assert drawn_by(client, X) == {"flax"}
    assert drawn_by(model, X) == {"flaxnoise"}
    assert drawn_by(client, X) == {"flax"}
    programs = []
    for each in (model, client):
        graph, state = nnx.split(each)

        def calm(state, x, graph=graph):
            return nnx.merge(graph, state)(x, True)

        programs.append(str(jax.make_jaxpr(calm)(state, X)))
    assert programs[0] == programs[1]
    assert_same_bits(model(X, True), client(X, True))
    theirs = cls(nnx.Rngs(0))(X)
    assert not np.array_equal(model(X), theirs)
    assert_same_bits(client(X), theirs)
    assert state_of_flax() == before


def test_methods_and_parts_of_a_model_are_reached_too():
    model, q = replaced(), X.reshape(2, 5, 3, 4)
    assert drawn_by(model.first, X) == {"flaxnoise"}
    assert drawn_by(model.first.attend, q, False) == {"flaxnoise"}


def test_the_model_stays_what_it_was():
    client, model = Model(nnx.Rngs(0)), Model(nnx.Rngs(0))
    assert flaxnoise.nnx.replace_dropout(model) is model
    cls = type(model)
    assert flaxnoise.nnx.replace_dropout(model) is model
    assert type(model) is cls
    assert type(replaced()) is cls
    assert isinstance(model, Model)
    assert isinstance(model.first, Block)
    assert (cls.__name__, cls.__module__) == (Model.__name__, Model.__module__)
    paths = [jax.tree.structure(nnx.to_pure_dict(nnx.state(each))) for each in (client, model)]
    assert paths[0] == paths[1]


@pytest.mark.parametrize("options", [{}, {"strict": True}, {"report": lambda _: None}])
@pytest.mark.parametrize("pickler", [copy, pickle, cloudpickle])
def test_copies_are_replaced_as_well(options, pickler):
    def copied(value):
        return copy.deepcopy(value) if pickler is copy else pickler.loads(pickler.dumps(value))

    y = replaced(Block, **options)(X)
    model = copied(replaced(Block, **options))
    merged = nnx.merge(*copied(nnx.split(replaced(Block, **options))))
    for other in (nnx.clone(model), model, merged):
        assert isinstance(other, Block)
        assert_same_bits(other(X), y)


def test_under_nnx_jit_and_grad_as_outside():
    def loss(model, x):
        return jnp.sum(model(x) ** 2)

    for strict in (False, True):
        step = nnx.jit(nnx.value_and_grad(loss))
        client = Block(nnx.Rngs(0))
        theirs = step(client, X)[0]
        model = flaxnoise.nnx.replace_dropout(client, strict=strict)
        value, gradient = step(replaced(Block, strict=strict), X)
        assert drawn_by(nnx.jit(loss), model, X) == {"flaxnoise"}
        assert value != theirs
        # Compiled as a whole or not: the difference of another mask would be of the size of x.
        np.testing.assert_allclose(value, loss(replaced(Block), X), rtol=1e-5)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


class Own(nnx.Module):
    """Draws by itself, and calls attention as a function."""

    def __init__(self, rngs):
        self.block = Block(rngs)
        self.rngs = rngs.dropout.fork()

    def __call__(self, x, draws=True):
        keep = jax.random.bernoulli(self.rngs(), 0.9, x.shape) if draws else True
        return self.block(jnp.where(keep, x, 0))

    def on_the_host(self, x):
        return x if float(x[0, 0, 0]) > 100 else self(x, draws=False)


def test_reports_of_calls_name_attention_and_what_the_model_draws_itself():
    reports = []
    model = replaced(Own, report=reports.append)
    assert reports == [type(reports[0])((), ())]  # no layers of dropout
    for _ in range(2):
        model(X)
    model(X, draws=False)
    _, own, calm = reports
    assert len(own.replaced) == len(calm.replaced) == 2
    assert "attention_dropout[2, 3, 5, 5] by flaxnoise" in own.replaced[0]
    assert "(Block.attend)" in own.replaced[0]
    (left,) = own.left
    assert left.startswith("jax.random.bernoulli[2, 5, 12] by client")
    assert "(Own.__call__)" in left
    assert not calm.left
    strict = replaced(Own, strict=True)
    with pytest.raises(ValueError, match=r"strict=True leaves nothing, got jax\.random\.bernoulli"):
        strict(X)
    with pytest.raises(ValueError, match=r"strict=True leaves nothing, got jax\.random\.bernoulli"):
        nnx.jit(lambda model, x: model(x))(strict, X)
    assert strict(X, draws=False).shape == X.shape
    assert strict.on_the_host(X).shape == X.shape


class Plain(nnx.Module):
    """Has no dropout."""

    def __call__(self, x):
        return 2 * x


def test_a_model_of_its_own_code_warns_at_its_first_call_if_there_is_no_dropout(recwarn):
    model = flaxnoise.nnx.replace_dropout(Plain())
    attention = replaced(Block)
    attention(X)
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"no dropout of Flax's in Plain\.__call__") as caught:
        model(X)
    assert caught[0].filename == __file__
    model(X)
    assert len(caught) == 1


def test_errors_and_threads_leave_nothing_behind():
    before, results, inside, done = state_of_flax(), {}, threading.Event(), threading.Event()

    class Slow(Block):
        def __call__(self, x, wait=False):
            if wait:
                inside.set()
                done.wait(60)
            results["ours"] = super().__call__(x)
            if not wait:
                raise KeyError("theirs")
            return results["ours"]

    model, theirs = replaced(Slow), Block(nnx.Rngs(0))(X)
    thread = threading.Thread(target=model, args=(X, True))
    thread.start()
    inside.wait(60)
    assert_same_bits(Block(nnx.Rngs(0))(X), theirs)
    done.set()
    thread.join()
    assert_same_bits(results["ours"], replaced(Block)(X))
    with pytest.raises(KeyError, match="theirs"):
        model(X)
    assert state_of_flax() == before
    assert_same_bits(Block(nnx.Rngs(0))(X), theirs)


class Odd(nnx.Module):
    """Methods that must not be wrapped, and one that is jitted."""

    block_class = Block

    def __init__(self, rngs):
        self.block = self.block_class(rngs)
        self.rngs = rngs.dropout.fork()

    @nnx.jit
    def run(self, x):
        return self.block(self.doubled(x))

    @staticmethod
    def doubled(x):
        return 2 * x

    @classmethod
    def made(cls):
        return cls(nnx.Rngs(0))

    @property
    def name(self):
        return type(self).__name__

    def parts(self):
        yield from (1, 2)


def test_other_attributes_of_the_class_work_as_before():
    model = replaced(Odd, strict=True)
    assert model.name == "Odd"
    assert list(model.parts()) == [1, 2]
    assert isinstance(model.made(), Odd)

    def run(model, x):
        return model.run(x)

    assert drawn_by(run, model, X) == {"flaxnoise"}
    assert drawn_by(run, Odd(nnx.Rngs(0)), X) == {"flax"}
    assert model.run(X).shape == X.shape

"""Many models in one call: each is what it is alone."""

import functools
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.many import programs
from jaxlinear.types import Status

module = sys.modules["jaxlinear.many.sweep"]  # jl.sweep is the function

N, D, K, MODELS, SIZE = 96, 5, 3, 6, 32
rng = np.random.default_rng(0)
X = rng.normal(size=(N, D)).astype(np.float32)
Y = rng.integers(0, K, N).astype(np.int32)
HYPERS = {
    "lr": np.float32([0.01, 0.1, 0.2, 0.3, 0.1, 0.5]),
    "l2": np.float32([0, 0.1, 0, 0.01, 1, 0]),
    "momentum": np.float32([0, 0, 0.5, 0.9, 0.9, 0]),
    "weight": np.concatenate(
        [
            jl.resample.k_fold(jax.random.key(0), N, 4),
            jl.resample.bootstrap(jax.random.key(1), N, 2),
        ]
    ),
    "init": jl.Linear(*(rng.normal(size=shape).astype(np.float32)
                        for shape in ((MODELS, K, D), (MODELS, K)))),
    "y": rng.integers(0, K, (MODELS, N)).astype(np.int32),
}  # fmt: skip


def fit(x, hyper):
    options = {"key": jax.random.key(0), "y": Y} | hyper
    return jl.sgd_fit(
        jl.losses.softmax_cross_entropy, x, outputs=K, batch_size=SIZE, epochs=2, **options
    )


run = functools.partial(fit, X)


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def assert_close(a, b, tolerance=1e-5):
    jax.tree.map(
        lambda u, v: np.testing.assert_allclose(u, v, rtol=tolerance, atol=tolerance), a, b
    )


@pytest.fixture(scope="module")
def fits():
    return jl.sweep(run, HYPERS)


@pytest.fixture(scope="module")
def alone():
    return [run(member(HYPERS, i)) for i in range(MODELS)]


def test_a_member_is_what_it_is_alone(fits, alone):
    for i, solo in enumerate(alone):
        assert_close(member(fits, i), solo)


@pytest.mark.parametrize("chunk", [4, "auto"])
def test_chunks_change_nothing(fits, chunk, monkeypatch):
    sizes = []
    program = programs.of(run, HYPERS)
    memory = program.call.lower(program.data, HYPERS).compile().memory_analysis()
    room = 5 * memory.temp_size_in_bytes // 6
    monkeypatch.setattr(programs, "_free_memory", lambda: room)
    original = module._run
    monkeypatch.setattr(
        module, "_run", lambda run, part: sizes.append(len(part["lr"])) or original(run, part)
    )
    assert_close(jl.sweep(run, HYPERS, chunk=chunk), fits)
    assert sizes == [4, 4] if chunk == 4 else set(sizes) == {sizes[0]} and sizes[0] < MODELS


def test_all_at_once_where_memory_allows(fits):
    assert_close(jl.sweep(run, HYPERS, chunk="auto"), fits)


def test_neighbours_do_not_matter(fits):
    """Nor do those that fail: one has a rate far too large, one an unsound weight."""
    bad = dict(HYPERS, lr=HYPERS["lr"].copy(), weight=HYPERS["weight"].copy())
    bad["lr"][1] = 1e30
    bad["weight"][4, 7] = -1
    others = jl.sweep(run, bad)
    for i in (0, 2, 3, 5):
        assert_close(member(others, i), member(fits, i), 1e-6)
    assert others.report.status[1] == Status.DIVERGED
    assert others.report.status[4] == Status.NONFINITE_INPUT
    assert np.isnan(others.params.w[4]).all()


def test_what_is_no_number_counts_where_it_has_weight(fits):
    x = X.copy()
    absent = np.flatnonzero(HYPERS["weight"][0] == 0)[0]
    x[absent] = np.nan
    assert (HYPERS["weight"][1:4, absent] == 1).all()
    others = jl.sweep(functools.partial(fit, x), HYPERS)
    assert_close(member(others, 0), member(fits, 0))
    assert (others.report.status[1:4] == Status.NONFINITE_INPUT).all()
    assert np.isnan(others.params.w[1:4]).all()


def test_all_weights_meet_a_minibatch_in_one_product():
    """No array has models, examples and features at once, though each model has its own folds."""
    call, data, *_ = programs.of(run, jax.tree.map(jnp.asarray, HYPERS))
    text = call.lower(data, HYPERS).compile().as_text()
    assert f"f32[{MODELS * K},{D}]" in text or f"f32[{MODELS},{K},{D}]" in text
    for shape in ((MODELS, SIZE, D), (SIZE, MODELS, D), (MODELS, D, SIZE), (MODELS, N, D)):
        assert f"f32[{','.join(map(str, shape))}]" not in text


def test_data_are_not_compiled_into_the_program():
    x = jnp.asarray(rng.normal(size=(4321, D)).astype(np.float32))
    call, data, *_ = programs.of(lambda lr: jnp.sum(x * lr), jnp.arange(2.0))
    assert any(leaf.shape == x.shape for leaf in data)
    assert len(call.lower(data, jnp.arange(2.0)).as_text()) < x.nbytes // 10


def test_private_orders():
    hypers = jl.grid(key=jax.random.split(jax.random.key(3), 3))
    fits = jl.sweep(lambda hyper: run({"lr": 0.1, **hyper}), hypers)
    assert len(np.unique(np.asarray(fits.params.b)[:, 0])) == 3
    assert_close(member(fits, 1), run({"lr": 0.1, "key": hypers["key"][1]}))


def test_nothing_is_compiled_twice():
    traces = []

    def count(hyper):
        traces.append(hyper)
        return hyper * 2

    for hypers in (np.arange(5.0), np.arange(5.0) + 1):
        jl.sweep(count, hypers, chunk=2)
    assert len(traces) == 1


def test_a_compiled_function_may_sweep():
    doubled = jax.jit(lambda values: jl.sweep(lambda v: 2 * v, values, chunk=2))(jnp.arange(5.0))
    np.testing.assert_array_equal(doubled, 2 * np.arange(5.0))


def interrupted(monkeypatch, at):
    calls = []
    original = module._run

    def stop(run, part):
        calls.append(part)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(run, part)

    monkeypatch.setattr(module, "_run", stop)


def test_ctrl_c_returns_what_is_done(monkeypatch):
    interrupted(monkeypatch, 3)
    with pytest.warns(UserWarning, match=r"these are the first 4 of 10 models"):
        done = jl.sweep(lambda v: 2 * v, np.arange(10.0), chunk=2)
    np.testing.assert_array_equal(done, 2 * np.arange(4.0))


def test_ctrl_c_before_anything_is_done(monkeypatch):
    interrupted(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        jl.sweep(lambda v: 2 * v, np.arange(10.0), chunk=2)


def test_progress(capsys):
    jl.sweep(lambda v: 2 * v, np.arange(5.0), chunk=2, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_a_grid_has_every_combination_in_order():
    weight = np.eye(2)
    grid = jl.grid(lr=[0.1, 0.2, 0.3], weight=weight, init=jl.Linear(np.ones((2, 4)), np.zeros(2)))
    assert grid["lr"].tolist() == [0.1] * 4 + [0.2] * 4 + [0.3] * 4
    np.testing.assert_array_equal(grid["weight"], weight[[0, 0, 1, 1] * 3])
    assert grid["init"].w.shape == (12, 4) and grid["init"].b.shape == (12,)


def test_the_best_is_never_no_number():
    scores = jnp.array([jnp.nan, 3.0, 2.0])
    assert jl.best({"l2": np.arange(3)}, scores)["l2"] == 2


MISTAKES = {
    "no values": (lambda: jl.grid(), r"grid got no values"),
    "a number": (
        lambda: jl.grid(lr=0.1),
        r"lr has leaves of shapes \[\(\)\]; expected one leading",
    ),
    "an empty list": (lambda: jl.grid(lr=[]), r"lr has leaves of shapes \[\(0,\)\]"),
    "ragged": (
        lambda: jl.sweep(run, {"a": np.ones(2), "b": np.ones(3)}),
        r"hypers has leaves of shapes \[\(2,\), \(3,\)\]",
    ),
    "no chunk": (lambda: jl.sweep(run, np.ones(2), chunk=0), r"chunk is 0; expected a whole"),
    "a word": (lambda: jl.sweep(run, np.ones(2), chunk="big"), r"chunk is 'big'; expected a whole"),
}


@pytest.mark.parametrize("mistake, message", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


def test_best_needs_a_score_that_is_a_number():
    results = {"lr": np.array([0.1, 0.2, 0.3], np.float32), "status": np.array([4, 0, 1])}
    inf, nan = np.inf, np.nan
    for scores, lr in (([nan, 2.0, 3.0], 0.2), ([-inf, inf, 3.0], 0.3), ([1, 0, 2], 0.2)):
        assert jl.best(results, np.array(scores))["lr"] == np.float32(lr)
    with pytest.raises(ValueError, match="scores holds no finite number among 3"):
        jl.best(results, np.array([nan, inf, nan]))
    with pytest.raises(ValueError, match=r"scores has shape \(2,\); expected \(3,\)"):
        jl.best(results, np.zeros(2))
    blind = jax.jit(jl.best)(results, np.full(3, nan))
    assert np.isnan(blind["lr"]) and blind["status"] == 4
    assert jax.jit(jl.best)(results, np.array([3.0, nan, 1.0]))["lr"] == np.float32(0.3)

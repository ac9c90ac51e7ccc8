"""Properties of the objective, over every loss: what must hold whatever the loss is."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import LOSSES

import jaxlinear as jl

N, D, L2 = 12, 5, 0.3

every_loss = pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)


def problem(case, dtype=np.float32, n=N, seed=0):
    """Parameters and a batch for a loss, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    shape = () if case.outputs is None else (case.outputs,)
    params = jl.Linear(
        rng.normal(size=(*shape, D)).astype(dtype) / 3, rng.normal(size=shape).astype(dtype)
    )
    y = case.targets(rng, n, case.outputs)
    y = y if y.dtype == np.int32 else y.astype(dtype)
    return params, jl.Batch(rng.normal(size=(n, D)).astype(dtype), y)


def value_and_gradient(case):
    return jax.jit(jax.value_and_grad(jl.mean_loss(case.loss)))


def assert_close(a, b, tolerance=2e-5):
    jax.tree.map(
        lambda u, v: np.testing.assert_allclose(u, v, rtol=tolerance, atol=tolerance / 2), a, b
    )


@every_loss
def test_value_equals_the_oracle(case):
    params, batch = problem(case, np.float64)
    weight = np.random.default_rng(1).uniform(size=N)
    expected = oracles.mean_loss(case.oracle, *params, batch.x, batch.y, weight, L2)
    single = jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32) if a.dtype == np.float64 else a,
        (params, batch._replace(weight=weight)),
    )
    got = jl.mean_loss(case.loss)(*single, L2)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=2e-5)


@every_loss
def test_gradient_equals_central_differences(case, x64):
    params, batch = problem(case, np.float64)
    batch = batch._replace(weight=np.random.default_rng(1).uniform(size=N))
    objective = jax.jit(jl.mean_loss(case.loss))
    gradient = jax.grad(objective)(jax.tree.map(jnp.asarray, params), batch, L2)
    for name in ("w", "b"):
        expected = oracles.central_differences(
            lambda leaf, name=name: float(objective(params._replace(**{name: leaf}), batch, L2)),
            np.array(getattr(params, name)),
        )
        np.testing.assert_allclose(getattr(gradient, name), expected, atol=2e-7, rtol=2e-7)


@every_loss
def test_jit_equals_eager(case):
    params, batch = problem(case)
    function = value_and_gradient(case)
    compiled = function(params, batch, L2)
    with jax.disable_jit():
        assert_close(compiled, function(params, batch, L2))


@every_loss
def test_vmap_equals_a_loop(case):
    params, batch = problem(case)
    stack = jax.tree.map(lambda a: np.stack([a, 2 * a, -a]), params)
    l2s = np.array([0.0, 0.1, 1.0], np.float32)
    function = value_and_gradient(case)
    together = jax.vmap(function, (0, None, 0))(stack, batch, l2s)
    for i, l2 in enumerate(l2s):
        alone = function(jax.tree.map(lambda a, i=i: a[i], stack), batch, l2)
        assert_close(jax.tree.map(lambda a, i=i: a[i], together), alone)


@every_loss
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_dtype_is_kept(case, dtype):
    params, batch = jax.tree.map(
        lambda a: a if a.dtype == np.int32 else jnp.asarray(a, dtype), problem(case)
    )
    value, gradient = value_and_gradient(case)(params, batch, L2)
    assert {leaf.dtype for leaf in jax.tree.leaves((value, gradient))} == {jnp.dtype(dtype)}


@every_loss
def test_weight_k_is_k_copies(case):
    params, batch = problem(case)
    copies = np.random.default_rng(2).integers(0, 4, N)
    weighted = batch._replace(weight=copies.astype(np.float32))
    copied = jl.Batch(np.repeat(batch.x, copies, 0), np.repeat(batch.y, copies, 0))
    function = value_and_gradient(case)
    assert_close(function(params, weighted, L2), function(params, copied, L2))


@every_loss
def test_weight_zero_is_absent_even_where_it_is_nan(case):
    """In the value, and in the gradients with respect to everything."""
    params, batch = problem(case)
    absent = np.arange(N) % 3 == 0
    x = np.where(absent[:, None], np.nan, batch.x)
    bad = -1 if batch.y.dtype == np.int32 else np.nan
    y = np.where(absent.reshape(-1, *[1] * (batch.y.ndim - 1)), bad, batch.y).astype(batch.y.dtype)
    weight = (~absent).astype(np.float32)
    present = jl.Batch(batch.x[~absent], batch.y[~absent])
    function = value_and_gradient(case)
    marked = jl.Batch(x, y, weight)
    assert_close(function(params, marked, L2), function(params, present, L2))

    @jax.jit
    @jax.grad
    def slope_in_x(x, y, weight):
        return jl.mean_loss(case.loss)(params, jl.Batch(x, y, weight))

    slope = slope_in_x(x, y, weight)
    assert_close(slope[~absent], slope_in_x(*present))
    assert not slope[absent].any()


@every_loss
def test_order_of_examples_does_not_matter(case):
    params, batch = problem(case)
    order = np.random.default_rng(3).permutation(N)
    function = value_and_gradient(case)
    shuffled = jl.Batch(batch.x[order], batch.y[order])
    assert_close(function(params, shuffled, L2), function(params, batch, L2))


@every_loss
def test_the_bias_is_not_penalised(case):
    params, batch = problem(case)
    function = value_and_gradient(case)
    (_, penalised), (_, free) = function(params, batch, L2), function(params, batch, 0.0)
    assert_close(penalised.w - free.w, L2 * params.w)
    assert_close(penalised.b, free.b)


@every_loss
def test_convex_in_the_parameters(case):
    params, batch = problem(case)
    other, _ = problem(case, seed=9)
    objective = jax.jit(jl.mean_loss(case.loss))
    middle = jax.tree.map(lambda a, b: (a + b) / 2, params, other)
    ends = (objective(params, batch) + objective(other, batch)) / 2
    assert objective(middle, batch) <= ends + 1e-5


@every_loss
def test_bytes_are_scaled_to_the_unit_interval(case):
    params, batch = problem(case)
    image = np.random.default_rng(4).integers(0, 256, batch.x.shape).astype(np.uint8)
    function = value_and_gradient(case)
    scaled = batch._replace(x=image.astype(np.float32) / 255)
    assert_close(function(params, batch._replace(x=image)), function(params, scaled))


def test_l2_may_differ_by_output():
    case = next(case for case in LOSSES if case.name == "squared_error-3")
    params, batch = problem(case)
    l2s = np.array([0.0, 1.0, 2.0], np.float32)
    objective = jl.mean_loss(case.loss)
    expected = objective(params, batch) + (l2s[:, None] * params.w**2).sum() / 2
    np.testing.assert_allclose(objective(params, batch, l2s), expected, rtol=1e-6)


def test_a_batch_without_examples_has_the_penalty_as_objective():
    case = LOSSES[0]
    params, batch = problem(case)
    nothing = jl.Batch(np.full_like(batch.x, np.nan), batch.y, np.zeros(N, np.float32))
    value, gradient = value_and_gradient(case)(params, nothing, L2)
    np.testing.assert_allclose(value, L2 / 2 * (params.w**2).sum(), rtol=1e-6)
    assert_close(gradient, jl.Linear(L2 * params.w, np.zeros_like(params.b)))


def test_a_loss_that_is_not_defined_at_zero_ignores_absent_examples():
    def log_ratio(o, y):
        return (o - jnp.log(y)) ** 2

    batch = jl.Batch(np.ones((3, 1), np.float32), np.array([1.0, 2.0, -1.0], np.float32))
    batch = batch._replace(weight=np.array([1.0, 1.0, 0.0], np.float32))
    value, gradient = jax.value_and_grad(jl.mean_loss(log_ratio))(jl.zeros(1), batch)
    assert float(value) == pytest.approx(np.log(2) ** 2 / 2)
    assert np.isfinite(gradient.w).all()

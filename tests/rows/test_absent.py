"""The derivative in a weight that is 0 is that of its own row, and 0 where it holds no number."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import full_but

import jaxlinear as jl
from jaxlinear import gram, losses, metrics

L2 = 0.3
ABSENT = [2, 5]


def problem(n, d, y=None):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, d))
    weight = rng.uniform(0.5, 2, n)
    weight[ABSENT] = 0
    x[ABSENT[0]] *= 3
    y = x @ rng.normal(size=d) + rng.normal(size=n) if y is None else y(rng, n)
    return x, y, weight


def told(params):
    """A number that every coefficient changes."""
    return jnp.sum(jnp.sin(params.w)) + jnp.sum(jnp.cos(params.b))


def told_in_numpy(w, b):
    return np.sin(w).sum() + np.cos(b).sum()


def one_sided(function, weight, step=1e-5):
    """Differences of a function that knows no weights below 0."""
    slopes = []
    for row in np.eye(len(weight)) * step:
        values = [function(weight + times * row) for times in range(3)]
        slopes.append((-3 * values[0] + 4 * values[1] - values[2]) / (2 * step))
    return np.array(slopes)


def ridge_in_numpy(x, y, l2, weight):
    return told_in_numpy(*oracles.ridge(x, y, l2, weight))


EXACT = {
    "least_squares": (0.0, lambda x, y, weight: jl.least_squares(x, y, weight=weight).params),
    "ridge": (L2, lambda x, y, weight: jl.ridge(x, y, L2, weight=weight).params),
    "path": (
        L2,
        lambda x, y, weight: jax.tree.map(
            lambda leaf: leaf[0], jl.ridge_path(x, y, [L2, 1.0], weight=weight).params
        ),
    ),
    "cv": (L2, lambda x, y, weight: jl.ridge_cv(x, y, [L2], weight=weight).fit.params),
    "gram": (L2, lambda x, y, weight: gram.ridge(gram.of(x, y, weight), L2).params),
    "glm": (L2, lambda x, y, weight: jl.glm(losses.squared_error, x, y, L2, weight=weight).params),
}


def check(slopes, x, y, weight, expected, tolerance):
    """The slopes in the weights; without a number in the first absent row they are 0 there."""
    np.testing.assert_allclose(slopes(x, y, weight), expected, rtol=tolerance, atol=tolerance)
    assert np.abs(expected[ABSENT]).max() > 1e-3  # or there is nothing to see
    expected = np.where(np.arange(len(x)) == ABSENT[0], 0, expected)
    for bad in (np.nan, np.inf):
        spoilt, targets = x.copy(), np.array(y, float)
        spoilt[ABSENT[0], 0] = bad
        got = slopes(spoilt, y, weight)
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
        assert got[ABSENT[0]] == 0
        if y.dtype == float:
            targets[ABSENT[0]] = bad
            got = slopes(x, targets, weight)
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
            assert got[ABSENT[0]] == 0


@pytest.mark.parametrize("shape", [(12, 3), (7, 9)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", full_but(EXACT, "least_squares", "cv"))
def test_exact_fits(name, shape, x64):
    l2, fit = EXACT[name]
    if not l2 and shape == (7, 9):
        pytest.skip("an example of any weight is met exactly")
    x, y, weight = problem(*shape)
    slopes = jax.jit(jax.grad(lambda weight, x, y: told(fit(x, y, weight))))
    expected = one_sided(lambda weight: ridge_in_numpy(x, y, l2, weight), weight)
    check(lambda x, y, weight: slopes(weight, x, y), x, y, weight, expected, 1e-6)


def test_second_derivatives_of_a_wide_ridge(x64):
    x, y, weight = problem(7, 9)

    @jax.jit
    def value(weight):
        return told(jl.ridge(x, y, L2, weight=weight).params)

    change = jax.jit(lambda weight, way: jax.jvp(jax.grad(value), (weight,), (way,))[1])
    row = np.eye(7)[ABSENT[0]]
    slope = functools.partial(one_sided, lambda weight: ridge_in_numpy(x, y, L2, weight))
    differences = [slope(weight + step * row, 1e-4) for step in (0.0, 5e-5, 1e-4)]
    expected = (-3 * differences[0] + 4 * differences[1] - differences[2]) / 1e-4
    np.testing.assert_allclose(change(weight, row), expected, rtol=1e-3, atol=1e-3)


LOSSES = {
    "logistic": (losses.logistic, oracles.logistic, lambda rng, n: rng.integers(0, 2, n) * 1.0),
    "poisson": (losses.poisson, oracles.poisson, lambda rng, n: rng.poisson(2.0, n) * 1.0),
    "softmax": (
        losses.softmax_cross_entropy,
        oracles.softmax_cross_entropy,
        lambda rng, n: rng.permutation(np.arange(n) % 3).astype(np.int32),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_convex_fits(name, x64):
    """dw / d weight_i = −H⁻¹ g_i / Σ w, with g_i the slope of the example itself."""
    loss, oracle, targets = LOSSES[name]
    x, y, weight = problem(20, 2, targets)
    outputs = 3 if name == "softmax" else None

    def fit(weight, x, y):
        return jl.glm(loss, x, y, L2, weight=weight, outputs=outputs).params

    params = fit(weight, x, y)
    shapes = [np.shape(leaf) for leaf in params]
    sizes = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])

    def unravel(vector):
        w, b = np.split(vector, sizes[:1])
        return w.reshape(shapes[0]), b.reshape(shapes[1])

    def slope(weight):
        def value(vector):
            return oracles.mean_loss(oracle, *unravel(vector), x, y, weight, L2)

        return lambda vector: oracles.central_differences(value, vector, 1e-4)

    at, step = np.concatenate([np.ravel(leaf) for leaf in params]), 1e-4
    steps = np.eye(len(at)) * step
    here = slope(weight)
    hessian = np.array([here(at + row) - here(at - row) for row in steps]) / (2 * step)
    own = np.array([slope(row)(at) - here(at) for row in np.eye(len(x))]) / weight.sum()
    of_w = np.where(np.arange(len(at)) < sizes[0], np.cos(at), 0)
    expected = -own @ np.linalg.pinv(hessian, rcond=1e-6) @ of_w
    slopes = jax.jit(jax.grad(lambda weight, x, y: jnp.sum(jnp.sin(fit(weight, x, y).w))))
    check(lambda x, y, weight: slopes(weight, x, y), x, y, weight, expected, 2e-5)


MEANS = {
    "mean_loss": lambda o, y, weight: jl.mean_loss(losses.squared_error)(
        jl.Linear(jnp.ones(1), jnp.array(0.0)), jl.Batch(o[:, None], y, weight)
    ),
    "mse": lambda o, y, weight: metrics.mse(o, y, weight) / 2,
}


@pytest.mark.parametrize("name", MEANS)
def test_means(name, x64):
    o, y, weight = problem(12, 1)
    o = o[:, 0]
    each = (o - y) ** 2 / 2
    expected = (each - weight @ each / weight.sum()) / weight.sum()
    slopes = jax.jit(jax.grad(lambda weight, o, y: MEANS[name](o, y, weight)))
    check(lambda x, y, weight: slopes(weight, x[:, 0], y), o[:, None], y, weight, expected, 1e-9)


@pytest.mark.parametrize("shape", [(12, 3), (7, 9)], ids=["tall", "wide"])
def test_leave_one_out_scores(shape, x64):
    """The error of an example of next to no weight counts by its weight."""
    x, y, weight = problem(*shape)
    value = jax.jit(lambda weight, x, y: jl.ridge_cv(x, y, [L2], weight=weight).scores[0])
    expected = one_sided(lambda weight: float(value(weight, x, y)), weight, 1e-6)
    slopes = jax.jit(jax.grad(value))
    check(lambda x, y, weight: slopes(weight, x, y), x, y, weight, expected, 1e-5)


def test_a_loss_that_overflows_where_it_is_absent_counts_for_nothing():
    x = np.float32([[1.0], [2.0], [400.0], [3.0]])
    batch = jl.Batch(x, np.float32([1, 2, 0, -1]), np.float32([1, 1, 0, 0]))
    params = jl.Linear(jnp.ones(1), jnp.array(0.0))
    objective = jl.mean_loss(losses.poisson)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def slopes(params, weight):
        return objective(params, batch._replace(weight=weight))

    got, of_weight = slopes(params, batch.weight)
    expected = jax.grad(objective)(params, jl.Batch(x[:2], batch.y[:2]))
    np.testing.assert_allclose(got.w, expected.w, rtol=1e-6)
    assert of_weight[2] == 0 and np.isfinite(of_weight).all()

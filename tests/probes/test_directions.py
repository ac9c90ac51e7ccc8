"""Directions from a Gram, against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear import probes

rng = np.random.default_rng(0)
N, D, K = 200, 5, 3
X = rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) + 3
Y = ((X - 3) @ rng.normal(size=(D, K)) + rng.normal(size=(N, K)) * 4 > 1) * 1.0
WEIGHT = rng.integers(0, 3, N) * 1.0


def within(x, y, weight):
    """Means of both classes, the covariance within them, and their share: as scikit-learn's."""
    means = [np.average(x[y == c], axis=0, weights=weight[y == c]) for c in (0, 1)]
    away = x - np.where((y == 1)[:, None], means[1], means[0])
    return *means, (away.T * weight) @ away / weight.sum(), np.average(y, weights=weight)


@pytest.mark.parametrize("own", [False, True])
def test_directions_are_those_of_their_formulas(own, x64):
    """Of concepts that share their rows, or each with labels of its own."""
    labelled = rng.random((N, K)) < (0.8 if own else 2)
    x = np.where((WEIGHT == 0)[:, None], np.nan, X)
    gram = jl.gram.of(x, np.where(labelled, Y, np.nan), WEIGHT)
    difference, fit = probes.mean_difference(gram), probes.linear_discriminant(gram, 0.1)
    assert (np.asarray(fit.report.status) == jl.Status.CONVERGED).all()
    for concept in range(K):
        weight = WEIGHT * labelled[:, concept]
        low, high, covariance, share = within(X, Y[:, concept], weight)
        middle = (low + high) / 2
        np.testing.assert_allclose(difference.w[concept], high - low, rtol=1e-9)
        np.testing.assert_allclose(difference.b[concept], -(high - low) @ middle, rtol=1e-9)
        w = np.linalg.solve(covariance + 0.1 * np.eye(D), high - low)
        b = np.log(share / (1 - share)) - w @ middle
        np.testing.assert_allclose(fit.params.w[concept], w, rtol=1e-8)
        np.testing.assert_allclose(fit.params.b[concept], b, rtol=1e-8)


def test_units_have_length_1_and_the_same_plane():
    params = jl.Linear(jnp.array([[3.0, 4.0], [1e30, 0.0], [0.0, 0.0]]), jnp.array([5.0, 1.0, 1.0]))
    found = probes.unit(params)
    np.testing.assert_allclose(found.w[:2], [[0.6, 0.8], [1.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found.b[:2], [1.0, 1e-30], rtol=1e-6)
    assert np.isnan(found.w[2]).all() and np.isnan(found.b[2])
    moved = 7.0 * found.w[:1]
    np.testing.assert_allclose(jl.predict(jax.tree.map(lambda leaf: leaf[0], found), moved), [8.0])


def test_classes_that_are_apart_or_absent_have_no_direction():
    x = np.float32(np.arange(8))[:, None] // 4
    gram = jl.gram.of(x, x[:, 0])
    apart = probes.linear_discriminant(gram)
    assert apart.report.status == jl.Status.DIVERGED and np.isnan(apart.params.w).all()
    assert probes.linear_discriminant(gram, 0.1).report.status == jl.Status.CONVERGED
    none = jl.gram.of(x, np.zeros(8, np.float32))
    assert np.isnan(probes.mean_difference(none).w).all()
    for call in (probes.mean_difference, probes.linear_discriminant):
        with pytest.raises(ValueError, match="other targets than 0 and 1, in column 1"):
            call(jl.gram.of(x, np.stack([x[:, 0], 2 * x[:, 0]], axis=1)))

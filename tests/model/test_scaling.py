"""Columns of mean 0 and variance 1, and the parameters of the columns before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl

rng = np.random.default_rng(0)
N, D = 60, 4
X = rng.normal(size=(N, D)) * np.array([1e-30, 1.0, 300.0, 0.0]) + np.array([0, 50.0, -1.0, 0.1])
WEIGHT = rng.integers(0, 3, N)


def oracle(x, weight):
    x = x.astype(np.float64)
    mean = np.average(x, axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    constant = np.ptp(x[weight > 0], axis=0) == 0
    return mean, np.where(constant, 0, 1 / np.where(constant, 1, deviation))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_and_deviations_are_those_of_the_rows_that_have_weight(dtype):
    x = X.astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        broken = np.where((WEIGHT == 0)[:, None], np.nan, x)
        z, scaling = jl.standardise(broken, WEIGHT)
        shift, scale = oracle(x, WEIGHT)
        rtol = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(scaling.shift, shift, rtol=rtol, atol=1e-6 * abs(X).min())
        np.testing.assert_allclose(scaling.scale, scale, rtol=rtol)
        np.testing.assert_allclose(z[WEIGHT > 0], ((x - shift) * scale)[WEIGHT > 0], atol=2e-5)
        assert z.dtype == scaling.shift.dtype == dtype and (z[WEIGHT > 0, 3] == 0).all()
        others, same = jl.standardise(x, scaling=scaling)
        np.testing.assert_array_equal(others[WEIGHT > 0], z[WEIGHT > 0])
        assert same.shift is scaling.shift


def test_a_fit_of_z_is_one_of_x(key):
    x = X[:, 1:].astype(np.float32)
    z, scaling = jl.standardise(x)
    for outputs in (None, 2):
        params = jl.normal(3, outputs, key=key)
        np.testing.assert_allclose(
            jl.predict(jl.unstandardise(params, scaling), x), jl.predict(params, z), atol=1e-5
        )
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    scalings = jax.tree.map(lambda leaf: jnp.stack([leaf, 3 * leaf]), scaling)
    many = jl.unstandardise(stack, scalings)
    for i in range(2):
        one = jl.unstandardise(*jax.tree.map(lambda leaf, i=i: leaf[i], (stack, scalings)))
        jax.tree.map(
            np.testing.assert_array_equal, one, jax.tree.map(lambda leaf, i=i: leaf[i], many)
        )


def test_bytes_are_images(key):
    x = rng.integers(0, 256, (N, D)).astype(np.uint8)
    z, scaling = jl.standardise(x)
    np.testing.assert_allclose(z, jl.standardise(np.float32(x) / 255)[0], atol=1e-5)
    params = jl.normal(D, key=key)
    np.testing.assert_allclose(
        jl.predict(jl.unstandardise(params, scaling), x), jl.predict(params, z), atol=1e-5
    )


def test_derivatives_and_traced_trouble():
    x, weight = jnp.asarray(X[:, 1:], jnp.float32), jnp.asarray(WEIGHT, jnp.float32)
    slopes = jax.grad(lambda x: jnp.sum(jl.standardise(x, weight)[0][:, 0] ** 3))(x)
    assert jnp.isfinite(slopes).all() and jnp.abs(slopes[:, 0]).max() > 0
    program = jax.jit(lambda x, weight: jl.standardise(x, weight)[1].shift)
    assert jnp.isfinite(program(x, weight)).all() and jnp.isnan(program(x, 0 * weight)).all()
    assert jnp.isnan(program(x.at[0].set(jnp.nan), 1 + weight)).all()


def test_what_cannot_be_standardised_is_refused():
    _, scaling = jl.standardise(X)
    for call, message in (
        (lambda: jl.standardise(X, WEIGHT, scaling=scaling), "scaling and weight; expected one"),
        (lambda: jl.standardise(X[:, :2], scaling=scaling), r"expected one of the 2 columns"),
        (lambda: jl.standardise(np.where(X < -800, np.nan, X)), r"x\[.*, 2\] is nan"),
        (lambda: jl.standardise(X, np.zeros(N)), "weight is 0 everywhere"),
        (lambda: jl.unstandardise(jl.zeros(3), scaling), "the same features"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

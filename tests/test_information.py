"""Information theory: known values, inequalities, zeros, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear import information as it


def distributions(n, k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(k), size=n).astype(np.float32)


def test_known_values():
    assert float(it.entropy([0.5, 0.5], base=2)) == pytest.approx(1.0)
    assert float(it.entropy([0.25] * 4)) == pytest.approx(np.log(4))
    assert float(it.entropy([0.0, 1.0, 0.0])) == 0.0
    assert float(it.perplexity([0.25] * 4)) == pytest.approx(4.0)
    assert float(it.cross_entropy([1.0, 0.0], [0.25, 0.75], base=2)) == pytest.approx(2.0)
    assert float(it.kl_divergence([0.5, 0.5], [0.25, 0.75])) == pytest.approx(
        0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    )
    independent, copied = np.outer([0.3, 0.7], [0.6, 0.4]), np.diag([0.5, 0.5])
    assert float(it.mutual_information(independent)) == pytest.approx(0.0, abs=1e-6)
    assert float(it.mutual_information(copied, base=2)) == pytest.approx(1.0)


def test_bits_are_nats_over_log_two():
    p, q = distributions(5, 3), distributions(5, 3, seed=1)
    for function in (it.cross_entropy, it.kl_divergence):
        nats, bits = function(p, q), function(p, q, base=2)
        np.testing.assert_allclose(bits, nats / np.log(2), rtol=1e-6)


def test_gibbs_inequality():
    """H(P, Q) ≥ H(P), with equality at Q = P; the gap is the divergence."""
    p, q = distributions(200, 6), distributions(200, 6, seed=1)
    gap = it.cross_entropy(p, q) - it.entropy(p)
    assert (gap > 0).all()
    np.testing.assert_allclose(gap, it.kl_divergence(p, q), atol=1e-5)
    np.testing.assert_array_equal(it.cross_entropy(p, p), it.entropy(p))
    np.testing.assert_array_equal(it.kl_divergence(p, p), 0.0)


def test_entropy_lies_between_zero_and_log_k():
    p = distributions(200, 6)
    h = it.entropy(p)
    assert ((h >= 0) & (h <= np.log(6) + 1e-6)).all()


def test_mutual_information_by_its_definition():
    joint = distributions(4, 6).reshape(4, 2, 3).astype(np.float64)
    product = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
    expected = (joint * np.log(joint / product)).sum((1, 2))
    np.testing.assert_allclose(it.mutual_information(joint), expected, atol=1e-5)


@pytest.mark.parametrize("function", [it.cross_entropy, it.kl_divergence])
@pytest.mark.parametrize("argument", [0, 1])
def test_zeros_have_finite_gradients(function, argument):
    p, q = jnp.array([0.0, 0.4, 0.6]), jnp.array([0.0, 0.5, 0.5])
    assert np.isfinite(function(p, q))
    assert np.isfinite(jax.grad(function, argument)(p, q)).all()
    assert np.isfinite(jax.grad(it.entropy)(p)).all()


def test_an_impossible_outcome_that_happens_is_infinite():
    assert it.cross_entropy([0.5, 0.5], [1.0, 0.0]) == jnp.inf
    assert it.kl_divergence([0.5, 0.5], [1.0, 0.0]) == jnp.inf


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 0.6], "sum is 1"),
        ([-0.5, 1.5], "≥ 0"),
        ([float("nan"), 1.0], "not a distribution"),
        ([], "k ≥ 1"),
    ],
)
def test_what_is_no_distribution_is_refused(p, message):
    with pytest.raises(ValueError, match=message):
        it.entropy(p)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_many_outcomes_in_half_precision_are_a_distribution(dtype):
    """Each is too small for a sum in that dtype to go on growing."""
    p = jnp.full(4096, 1 / 4096, dtype)
    assert float(it.entropy(p)) == pytest.approx(np.log(4096), rel=0.02)


def test_shapes_are_not_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        it.cross_entropy([[0.5, 0.5]], [0.5, 0.5])


def test_a_negative_probability_under_jit_is_nan():
    assert np.isnan(jax.jit(it.entropy)(jnp.array([-0.5, 1.5])))


def test_cross_entropy_of_softmax_is_the_loss():
    from jaxlinear import losses

    o, q = jnp.array([0.3, -2.0, 1.0]), jnp.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(
        it.cross_entropy(q, jax.nn.softmax(o)), losses.softmax_cross_entropy(o, q), rtol=1e-6
    )

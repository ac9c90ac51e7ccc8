"""Information theory: known values, inequalities, zeros, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear import information


def distributions(n, k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(k), size=n).astype(np.float32)


def test_known_values():
    assert float(information.entropy([0.5, 0.5], base=2)) == pytest.approx(1.0)
    assert float(information.entropy([0.25] * 4)) == pytest.approx(np.log(4))
    assert float(information.entropy([0.0, 1.0, 0.0])) == 0.0
    assert float(information.perplexity([0.25] * 4)) == pytest.approx(4.0)
    assert float(information.cross_entropy([1.0, 0.0], [0.25, 0.75], base=2)) == pytest.approx(2.0)
    assert float(information.kl_divergence([0.5, 0.5], [0.25, 0.75])) == pytest.approx(
        0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    )
    independent, copied = np.outer([0.3, 0.7], [0.6, 0.4]), np.diag([0.5, 0.5])
    assert float(information.mutual_information(independent)) == pytest.approx(0.0, abs=1e-6)
    assert float(information.mutual_information(copied, base=2)) == pytest.approx(1.0)


def test_bits_are_nats_over_log_two():
    p, q = distributions(5, 3), distributions(5, 3, seed=1)
    for function in (information.cross_entropy, information.kl_divergence):
        nats, bits = function(p, q), function(p, q, base=2)
        np.testing.assert_allclose(bits, nats / np.log(2), rtol=1e-6)


def test_gibbs_inequality():
    """H(P, Q) ≥ H(P), with equality at Q = P; the gap is the divergence."""
    p, q = distributions(200, 6), distributions(200, 6, seed=1)
    gap = information.cross_entropy(p, q) - information.entropy(p)
    assert (gap > 0).all()
    np.testing.assert_allclose(gap, information.kl_divergence(p, q), atol=1e-5)
    np.testing.assert_array_equal(information.cross_entropy(p, p), information.entropy(p))
    np.testing.assert_array_equal(information.kl_divergence(p, p), 0.0)


def test_entropy_lies_between_zero_and_log_k():
    p = distributions(200, 6)
    h = information.entropy(p)
    assert ((h >= 0) & (h <= np.log(6) + 1e-6)).all()


def test_mutual_information_by_its_definition():
    joint = distributions(4, 6).reshape(4, 2, 3).astype(np.float64)
    product = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
    expected = (joint * np.log(joint / product)).sum((1, 2))
    np.testing.assert_allclose(information.mutual_information(joint), expected, atol=1e-5)


@pytest.mark.parametrize("function", [information.cross_entropy, information.kl_divergence])
@pytest.mark.parametrize("argument", [0, 1])
def test_zeros_have_finite_gradients(function, argument):
    p, q = jnp.array([0.0, 0.4, 0.6]), jnp.array([0.0, 0.5, 0.5])
    assert np.isfinite(function(p, q))
    assert np.isfinite(jax.grad(function, argument)(p, q)).all()
    assert np.isfinite(jax.grad(information.entropy)(p)).all()


def test_an_impossible_outcome_that_happens_is_infinite():
    assert information.cross_entropy([0.5, 0.5], [1.0, 0.0]) == jnp.inf
    assert information.kl_divergence([0.5, 0.5], [1.0, 0.0]) == jnp.inf


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
        information.entropy(p)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_many_outcomes_in_half_precision_are_a_distribution(dtype):
    """Each is too small for a sum in that dtype to go on growing."""
    p = jnp.full(4096, 1 / 4096, dtype)
    assert float(information.entropy(p)) == pytest.approx(np.log(4096), rel=0.02)


def test_shapes_are_not_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        information.cross_entropy([[0.5, 0.5]], [0.5, 0.5])


def test_a_negative_probability_under_jit_is_nan():
    assert np.isnan(jax.jit(information.entropy)(jnp.array([-0.5, 1.5])))


def test_cross_entropy_of_softmax_is_the_loss():
    from jaxlinear import losses

    o, q = jnp.array([0.3, -2.0, 1.0]), jnp.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(
        information.cross_entropy(q, jax.nn.softmax(o)),
        losses.softmax_cross_entropy(o, q),
        rtol=1e-6,
    )


# ------------------------------------------------------------------ divergences are not negative


def divergence(p, q):
    p, q = np.float64(p), np.float64(q)
    return np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0).sum(-1)


@pytest.mark.parametrize("apart", [0, 1e-7, 1e-5, 1e-3, 0.1, 1.0])
@pytest.mark.parametrize("k", [2, 10, 1000])
def test_a_divergence_is_not_negative_and_right_to_six_digits(k, apart):
    """The sums of float32 distributions are 1 up to 1e-7, which is all that is left of an error."""
    rng = np.random.default_rng(k)
    p = np.exp(rng.normal(size=(200, k)))
    q = p * np.exp(apart * rng.normal(size=p.shape))
    p, q = (np.float32(a / a.sum(axis=1, keepdims=True)) for a in (p, q))
    got = np.float64(information.kl_divergence(p, q))
    assert (got >= 0).all() and (got == 0).all() == (apart == 0)
    np.testing.assert_allclose(got, divergence(p, q), atol=2e-7)
    exact = divergence(p, q) - np.float64(p).sum(1) + np.float64(q).sum(1)
    assert (got[exact > 1e-9] > 0.5 * exact[exact > 1e-9]).all()


@pytest.mark.parametrize("apart", [0, 1e-6, 1e-3, 1.0])
def test_mutual_information_is_not_negative_and_right_to_six_digits(apart):
    rng = np.random.default_rng(5)
    joint = rng.dirichlet(np.ones(6), size=50)[:, :, None] * rng.dirichlet(np.ones(8), 50)[:, None]
    joint = joint * np.exp(apart * rng.normal(size=joint.shape))
    joint = np.float32(joint / joint.sum(axis=(1, 2), keepdims=True))
    wide = np.float64(joint)
    product = wide.sum(2, keepdims=True) * wide.sum(1, keepdims=True)
    got = np.float64(information.mutual_information(joint))
    assert (got >= 0).all()
    np.testing.assert_allclose(
        got, divergence(joint.reshape(50, -1), product.reshape(50, -1)), atol=2e-7
    )


def test_derivatives_of_a_divergence(x64):
    """Those of Σ p log(p / q), near and far, and where p is q: there the curvature is 1 / p."""
    p = np.array([0.2, 0.3, 0.1, 0.4])
    for q in (p, np.array([0.2, 0.3 + 1e-9, 0.1 - 1e-9, 0.4]), np.array([0.7, 0.1, 0.15, 0.05])):
        np.testing.assert_allclose(
            jax.grad(information.kl_divergence)(p, q), np.log(p / q) + 1, atol=1e-12
        )
        np.testing.assert_allclose(jax.grad(information.kl_divergence, 1)(p, q), -p / q, rtol=1e-12)
        bends = jax.hessian(information.kl_divergence)(jnp.asarray(p), q)
        np.testing.assert_allclose(bends, np.diag(1 / p), rtol=1e-6)


def test_zeros_in_a_joint_table_have_finite_gradients():
    joint = jnp.array([[0.5, 0.0, 0.0], [0.25, 0.25, 0.0]])
    slopes = np.asarray(jax.grad(information.mutual_information)(joint))
    product = np.asarray(joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True))
    expected = np.log(joint[joint > 0] / product[joint > 0]) - 1
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[joint > 0], expected, atol=1e-6)


@pytest.mark.parametrize("one_hot", [[0, 1], np.array([0, 1]), np.array([False, True])])
def test_whole_numbers_are_probabilities(one_hot):
    assert information.entropy(one_hot) == 0 and not np.signbit(information.entropy(one_hot))
    assert information.perplexity(one_hot) == 1
    assert float(information.kl_divergence(one_hot, [0.75, 0.25])) == pytest.approx(np.log(4))
    assert information.kl_divergence([0.75, 0.25], one_hot) == np.inf
    assert information.mutual_information([one_hot, [0, 0]]) == 0
    assert information.entropy(jnp.asarray(one_hot)).dtype == jnp.float32


def test_a_table_is_not_its_counts():
    with pytest.raises(
        ValueError, match=r"joint is not a distribution.*\[10\.\].*Divide by its sum"
    ):
        information.mutual_information(np.array([[1, 2], [3, 4]]))
    with pytest.raises(ValueError, match=r"joint has shape \(2,\)"):
        information.mutual_information([0.5, 0.5])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    rng = np.random.default_rng(6)
    p, q = (jnp.asarray(rng.dirichlet(np.ones(50)), dtype) for _ in range(2))
    wide_p, wide_q = np.float64(p), np.float64(q)
    exact = divergence(p, q) - wide_p.sum() + wide_q.sum()
    for got, expected in (
        (information.kl_divergence(p, q), exact),
        (information.cross_entropy(p, q), -(wide_p * np.log(wide_q)).sum()),
    ):
        assert got.dtype == dtype
        np.testing.assert_allclose(
            np.float64(got), expected, rtol=0.6 * float(jnp.finfo(dtype).eps)
        )


def test_a_negative_probability_beside_one_of_0_is_nan_under_jit():
    for function in (information.cross_entropy, information.kl_divergence):
        assert np.isnan(jax.jit(function)(jnp.array([0.0, 1.0]), jnp.array([-0.5, 1.5])))

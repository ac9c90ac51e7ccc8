"""Losses: values against NumPy, stability at the ends of the range, and refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import LOSSES

from jaxlinear import losses

by_name = pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)


@by_name
def test_value_equals_the_oracle(case):
    rng = np.random.default_rng(0)
    o = rng.normal(size=(20,) if case.outputs is None else (20, case.outputs))
    y = case.targets(rng, 20, case.outputs)
    got = jax.vmap(case.loss)(jnp.asarray(o, jnp.float32), jnp.asarray(y))
    expected = [case.oracle(oi, yi) for oi, yi in zip(o, y, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)


def test_the_book_example():
    """d2l 4.4: the cross-entropy of two examples is 1.4979 on average."""
    probabilities = jnp.log(jnp.array([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]]))
    each = jax.vmap(losses.softmax_cross_entropy)(probabilities, jnp.array([0, 2]))
    assert float(each.mean()) == pytest.approx(1.4979, abs=5e-5)


LARGE = [
    # loss, outputs, target, value, gradient in the outputs
    (losses.softmax_cross_entropy, [1e4, -1e4, 0.0], 0, 0.0, [0, 0, 0]),
    (losses.softmax_cross_entropy, [1e4, -1e4, 0.0], 1, 2e4, [1, -1, 0]),
    (losses.softmax_cross_entropy, [1e4, 1e4, -1e4], 2, 2e4 + np.log(2), [0.5, 0.5, -1]),
    (losses.softmax_cross_entropy, [1e4, -1e4], [0.5, 0.5], 1e4, [0.5, -0.5]),
    (losses.logistic, 1e4, 1.0, 0.0, 0.0),
    (losses.logistic, -1e4, 1.0, 1e4, -1.0),
    (losses.logistic, 1e4, 0.0, 1e4, 1.0),
    (losses.logistic, -1e4, 0.0, 0.0, 0.0),
    (losses.logistic, 1e4, 0.25, 7.5e3, 0.75),
    (losses.squared_error, 1e4, -1e4, 2e8, 2e4),
    (losses.huber, 1e4, 0.0, 1e4 - 0.5, 1.0),
    (losses.huber, -1e4, 0.0, 1e4 - 0.5, -1.0),
    (losses.absolute, -1e4, 0.0, 1e4, -1.0),
    (losses.quantile, 1e4, 0.0, 5e3, 0.5),
    (losses.hinge, 1e4, 1.0, 0.0, 0.0),
    (losses.hinge, -1e4, 1.0, 1e4 + 1, -1.0),
    (losses.squared_hinge, -1e4, 1.0, (1e4 + 1) ** 2, -2 * (1e4 + 1)),
    (losses.poisson, -1e4, 3.0, 3e4, -3.0),
    (losses.gamma, 1e4, 3.0, 1e4, 1.0),
]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("loss", "o", "y", "value", "gradient"), LARGE)
def test_stable_at_large_outputs(loss, o, y, value, gradient, dtype):
    o = jnp.asarray(o, dtype)
    y = (
        jnp.asarray(y)
        if np.ndim(y) == 0 and loss is losses.softmax_cross_entropy
        else (jnp.asarray(y, dtype))
    )
    got, slope = jax.value_and_grad(loss)(o, y)
    assert got.dtype == slope.dtype == dtype
    tolerance = float(jnp.finfo(dtype).eps) * 2
    np.testing.assert_allclose(np.float64(got), value, rtol=tolerance, atol=1e-30)
    np.testing.assert_allclose(np.float64(slope), gradient, rtol=tolerance, atol=1e-30)


def test_overflow_is_infinite_and_not_a_number_that_looks_fine():
    assert losses.poisson(jnp.float32(1e4), jnp.float32(1.0)) == jnp.inf
    assert losses.gamma(jnp.float32(-1e4), jnp.float32(1.0)) == jnp.inf


def test_logistic_keeps_its_digits_where_the_textbook_formula_cancels():
    got = float(losses.logistic(jnp.float32(10.0), jnp.float32(1.0)))
    assert got == pytest.approx(np.log1p(np.exp(-10.0)), rel=1e-6)


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_a_label_out_of_range_is_nan(label):
    """Not the clamped label of an index, not the zero of a one-hot vector."""
    value = losses.softmax_cross_entropy(jnp.zeros(3), jnp.int32(label))
    assert np.isnan(value)


def test_smoothing_equals_soft_labels():
    o, label = jnp.array([0.3, -1.2, 2.0, 0.0]), jnp.int32(2)
    soft = 0.9 * jnp.eye(4)[2] + 0.1 / 4
    smoothed = losses.softmax_cross_entropy(o, label, label_smoothing=0.1)
    np.testing.assert_allclose(smoothed, losses.softmax_cross_entropy(o, soft), rtol=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.squared_error, losses.logistic, losses.hinge, losses.softmax_cross_entropy]
)
def test_shapes_are_not_broadcast(loss):
    with pytest.raises(ValueError, match=r"\(3,\).*\(1,\).*expected the same"):
        loss(jnp.zeros(3), jnp.ones(1))


def test_a_batch_of_logits_is_refused_by_name():
    with pytest.raises(ValueError, match=r"shape \(5, 3\); expected \(k,\).*jax\.vmap"):
        losses.softmax_cross_entropy(jnp.zeros((5, 3)), jnp.zeros(5, int))


def test_best_constants():
    """d2l 3.1, exercise 1: the mean minimises the squared error, the median the absolute one."""
    y = jnp.array([1.0, 2.0, 3.0, 4.0, 90.0])
    candidates = jnp.linspace(0.0, 100.0, 1001)

    def best(loss):
        mean = jax.vmap(lambda c: jax.vmap(lambda yi: loss(c, yi))(y).mean())(candidates)
        return float(candidates[jnp.argmin(mean)])

    assert best(losses.squared_error) == pytest.approx(20.0, abs=0.05)
    assert best(losses.absolute) == pytest.approx(3.0, abs=0.05)
    assert best(functools.partial(losses.quantile, q=0.9)) == pytest.approx(90.0, abs=0.05)


def test_a_smooth_quantile_is_within_its_bandwidth_of_the_quantile():
    o = jnp.linspace(-3, 3, 101)
    for q in (0.1, 0.5, 0.9):
        kinked, smooth = (
            jax.vmap(functools.partial(loss, q=q))(o, jnp.zeros(101))
            for loss in (losses.quantile, functools.partial(losses.smooth_quantile, bandwidth=0.2))
        )
        above = np.asarray(smooth - kinked)
        assert (above > -1e-6).all() and above.max() == pytest.approx(0.2 * np.log(2), rel=1e-5)


def test_target_kinds_are_seen_through_partial():
    smoothed = functools.partial(losses.softmax_cross_entropy, label_smoothing=0.1)
    assert losses.target_of(smoothed) == "labels"
    assert losses.target_of(lambda o, y: o - y) == "real"


def test_softmax_gradient_is_softmax_minus_one_hot():
    """d2l 4.1: the derivative in the logits is the error of the probabilities."""
    o = np.array([0.5, -1.0, 2.0])
    got = jax.grad(losses.softmax_cross_entropy)(jnp.asarray(o, jnp.float32), jnp.int32(1))
    np.testing.assert_allclose(got, oracles.softmax(o) - oracles.one_hot(1, 3), atol=1e-6)

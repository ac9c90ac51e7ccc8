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


@pytest.mark.parametrize(
    "loss, y", [("squared_error", -2.0), ("logistic", 0.3), ("poisson", 2.5), ("gamma", 0.4)]
)
def test_the_mean_of_a_family_is_where_its_loss_is_least(loss, y):
    loss = getattr(losses, loss)
    family = losses.family_of(loss)
    o = family.link(jnp.asarray(y))
    np.testing.assert_allclose(family.mean(o), y, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(o, y), 0, atol=1e-6)


def test_the_mean_of_classes_is_softmax():
    o, y = jnp.log(jnp.array([0.2, 0.5, 0.3])), jnp.array([0.2, 0.5, 0.3])
    np.testing.assert_allclose(losses.family_of(losses.softmax_cross_entropy).mean(o), y, rtol=1e-6)


def test_a_loss_with_an_option_bound_is_no_likelihood():
    cross_entropy = losses.softmax_cross_entropy
    assert losses.family_of(functools.partial(cross_entropy)) is losses.family_of(cross_entropy)
    assert losses.family_of(functools.partial(cross_entropy, label_smoothing=0.1)) is None
    assert losses.family_of(functools.partial(losses.huber, delta=2.0)) is None


def test_softmax_gradient_is_softmax_minus_one_hot():
    """d2l 4.1: the derivative in the logits is the error of the probabilities."""
    o = np.array([0.5, -1.0, 2.0])
    got = jax.grad(losses.softmax_cross_entropy)(jnp.asarray(o, jnp.float32), jnp.int32(1))
    np.testing.assert_allclose(got, oracles.softmax(o) - oracles.one_hot(1, 3), atol=1e-6)


# ------------------------------------------------------------------ what comes in


@by_name
def test_whole_numbers_are_numbers(case):
    """Outputs and targets of integers, bytes and booleans: none is cast to the dtype of another."""
    rng = np.random.default_rng(3)
    shape = () if case.outputs is None else (case.outputs,)
    o, fraction = rng.integers(0, 3, shape), rng.normal(size=shape)
    if case.targets(rng, 1, case.outputs or 1).dtype == np.int32:
        whole = [np.uint8(2), np.int64(2)]
    elif "softmax" in case.name:
        whole = [np.eye(4, dtype=dtype)[1] for dtype in (np.uint8, int, bool)]
    else:
        whole = [np.ones(shape, dtype) for dtype in (np.uint8, int, bool)]
    for outputs in (o, o.astype(np.uint8), o > 0, fraction.astype(np.float32)):
        for y in whole:
            wide = np.asarray(y, int if "softmax" in case.name and not np.ndim(y) else float)
            expected = case.oracle(outputs.astype(float), wide)
            got = case.loss(outputs, y)
            assert got.dtype == jnp.float32
            np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


def test_differences_of_bytes_do_not_wrap_around():
    assert losses.squared_error(np.uint8(0), np.uint8(16)) == 128
    assert losses.absolute(np.uint8(3), np.uint8(5)) == 2
    assert losses.squared_error(1, 2.5) == 1.125  # y is not cut to o's integers
    assert losses.softmax_cross_entropy(np.zeros(1000, np.float32), np.uint8(7)) > 6.9


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    """At the end: a sum over outputs, or a difference to y, has the digits of float32."""
    rng = np.random.default_rng(4)
    o = jnp.asarray(rng.normal(size=300), dtype)
    numbers = np.float32(rng.normal(size=300))
    for loss, oracle, y in (
        (losses.squared_error, oracles.squared_error, numbers),
        (losses.softmax_cross_entropy, oracles.softmax_cross_entropy, 7),
    ):
        got, expected = loss(o, y), oracle(np.float64(o), y)
        assert got.dtype == dtype
        np.testing.assert_allclose(
            np.float64(got), expected, rtol=0.6 * float(jnp.finfo(dtype).eps)
        )


def test_the_softmax_of_one_output_is_refused_by_name():
    with pytest.raises(ValueError, match="one logit: use the logistic loss"):
        losses.softmax_cross_entropy(jnp.zeros(1), 0)


# ------------------------------------------------------------------ classes that are ruled out

MASKED, INF = np.array([0.0, -np.inf, 1.0]), np.inf
RULED_OUT = [
    # loss, outputs, target, value, gradient in the outputs, second derivatives
    (losses.softmax_cross_entropy, MASKED, 2, np.log1p(np.exp(-1.0)), [-1, 0, 1], True),
    (losses.softmax_cross_entropy, MASKED, [0, 0, 1], np.log1p(np.exp(-1.0)), [-1, 0, 1], True),
    (losses.softmax_cross_entropy, MASKED, [0.0, 0, 1], np.log1p(np.exp(-1.0)), [-1, 0, 1], True),
    (losses.softmax_cross_entropy, MASKED, 1, INF, None, True),
    (losses.softmax_cross_entropy, MASKED, [0.5, 0.5, 0.0], INF, None, True),
    (losses.logistic, INF, 1.0, 0.0, 0.0, False),
    (losses.logistic, -INF, 0.0, 0.0, 0.0, False),
    (losses.logistic, INF, 0.0, INF, 1.0, False),
    (losses.logistic, -INF, 0.25, INF, -0.25, False),
    (losses.poisson, -INF, 0.0, 0.0, 0.0, False),
    (losses.poisson, -INF, 2.0, INF, -2.0, False),
]


@pytest.mark.parametrize(("loss", "o", "y", "value", "slope", "softmax"), RULED_OUT)
def test_a_class_that_is_ruled_out(loss, o, y, value, slope, softmax):
    """It adds nothing, and its probability no slope and no curvature, unless it is the label."""
    o, y = jnp.asarray(o, jnp.float32), jnp.asarray(y)
    p = np.array([1, 0, np.e]) / (1 + np.e)
    if softmax:
        slope = p - (oracles.one_hot(y, 3) if y.ndim == 0 else np.asarray(y))
    for given in (loss, jax.jit(loss)):
        np.testing.assert_allclose(given(o, y), value, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(o, y), slope, atol=1e-6)
    curvature = np.diag(p) - np.outer(p, p) if softmax else 0.0
    np.testing.assert_allclose(jax.hessian(loss)(o, y), curvature, atol=1e-6)


def test_smoothing_by_nothing_leaves_a_class_ruled_out():
    o = jnp.asarray(MASKED, jnp.float32)
    for smoothing in (0.0, jnp.float32(0)):
        got = losses.softmax_cross_entropy(o, 2, label_smoothing=smoothing)
        assert got == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-6)
    assert losses.softmax_cross_entropy(o, 2, label_smoothing=0.1) == np.inf


def test_the_slope_in_a_distribution_is_the_surprise_of_every_class_also_where_it_is_0():
    o = jnp.array([0.3, -1.2, 2.0])
    got = jax.grad(losses.softmax_cross_entropy, 1)(o, jnp.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(got, -oracles.log_softmax(np.float64(o)), rtol=1e-6)


# ------------------------------------------------------------------ decisions

DECISIONS = [
    # outputs, target, independent, value
    ([0.1, 0.9], 1, False, 0),
    ([0.1, 0.9], 1.0, False, 0),
    ([0.1, 0.9], np.uint8(0), False, 1),
    ([0.1, 0.9], [0, 1], False, 0),
    ([0.1, 0.9], [0.8, 0.2], False, 1),
    ([0.1, -np.inf], 0, False, 0),
    ([0.1, 0.9], 2, False, np.nan),
    ([0.1, 0.9], 0.5, False, np.nan),
    ([0.1, 0.9], -1, False, np.nan),
    ([0.1, 0.9], np.uint8(255), False, np.nan),
    ([0.1, 0.9], [1, 1], False, np.nan),
    ([np.nan, 0.9], 1, False, np.nan),
    ([-np.inf, -np.inf], 1, False, np.nan),
    (-2.0, True, False, 1),
    (-2.0, [0], False, 0),
    ([-2.0], 1, False, 1),
    ([2.0], [1.0], False, 0),
    (2.0, 0.7, False, 0),
    (2.0, 2, False, np.nan),
    (np.inf, 1, False, 0),
    ([0.1, -0.9], [1, 1], True, 0.5),
    ([0.1, 0.9, 2], [0, 0, 1.0], True, 2 / 3),
    ([0.1, 0.9], [1, 2], True, np.nan),
    (2.0, 1, True, 0),
]


@pytest.mark.parametrize(("o", "y", "independent", "value"), DECISIONS)
def test_a_decision_is_right_or_wrong_or_none(o, y, independent, value):
    got = losses.zero_one(jnp.asarray(o), jnp.asarray(y), independent)
    np.testing.assert_allclose(got, value, rtol=1e-6)
    assert got.dtype == jnp.float32

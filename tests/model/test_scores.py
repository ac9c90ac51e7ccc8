"""Metrics of classes, ranks and calibration against definitions in NumPy's float64.

The oracles count pairs and thresholds one by one; ``scikit-learn`` has the same definitions.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear import losses, metrics
from jaxlinear.model.metrics.forms import log_odds


class Case(NamedTuple):
    """A metric, its oracle, and examples."""

    metric: callable
    oracle: callable
    o: np.ndarray
    y: np.ndarray


N, K = 40, 4
rng = np.random.default_rng(0)
LOGIT = rng.normal(size=N)
TIED = np.round(LOGIT, 1)
TRUE = (LOGIT + rng.normal(size=N) > 0.7).astype(int)
SCORES = rng.normal(size=(N, K)) * 2
LABELS = np.where(rng.random(N) < 0.5, SCORES.argmax(axis=1), rng.integers(0, K, N))
SEVERAL = (SCORES + 2 * rng.normal(size=(N, K)) > 0).astype(int)
COUNTS = rng.poisson(np.exp(LOGIT))
PAIRS = rng.normal(size=(N, 2)), rng.normal(size=(N, 2))
WEIGHT = rng.integers(0, 3, N)


def softmax(o):
    p = np.exp(o - o.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def sigmoid(o):
    return 1 / (1 + np.exp(-o))


def auc(o, y):
    difference = o[y == 1][:, None] - o[y == 0][None]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def precision(o, y):
    total, before = 0.0, 0.0
    for threshold in np.unique(o)[::-1]:
        recall = (y[o >= threshold] == 1).sum() / (y == 1).sum()
        total += (recall - before) * np.mean(y[o >= threshold] == 1)
        before = recall
    return total


def of_classes(metric):
    return lambda o, y: np.mean([metric(softmax(o)[:, j], y == j) for j in range(o.shape[1])])


def of_labels(metric):
    return lambda o, y: np.mean([metric(o[:, j], y[:, j]) for j in range(o.shape[1])])


def decided(o):
    return (o > 0).astype(int) if o.ndim == 1 else o.argmax(axis=1)


def balanced(o, y):
    return np.mean([(decided(o)[y == j] == j).mean() for j in np.unique(y)])


def f1_of(j, o, y):
    found, true = decided(o) == j, y == j
    return 2 * (found & true).sum() / max(found.sum() + true.sum(), 1)


def macro_f1(o, y):
    return np.mean([f1_of(j, o, y) for j in np.union1d(y, decided(o))])


def brier(o, y):
    return np.mean((sigmoid(o) - y) ** 2)


def brier_of_classes(o, y):
    return np.mean(((softmax(o) - np.eye(o.shape[1])[y]) ** 2).sum(axis=1))


def poisson_deviance(o, y):
    ratio = np.where(y == 0, 1, y) / np.exp(o)
    return 2 * np.mean(y * np.log(ratio) - y + np.exp(o))


def gamma_deviance(o, y):
    return 2 * np.mean(y / np.exp(o) - 1 - np.log(y / np.exp(o)))


def explained(deviance, link=np.log):
    return lambda o, y: 1 - deviance(o, y) / deviance(np.full(len(y), link(y.mean())), y)


def log_loss(o, y):
    return -np.mean(np.log(softmax(o)[np.arange(len(y)), y]))


def d2_log_loss(o, y):
    shares = np.bincount(y, minlength=o.shape[1]) / len(y)
    return 1 - log_loss(o, y) / log_loss(np.tile(np.log(shares), (len(y), 1)), y)


def calibration_error(o, y):
    bins = np.minimum((sigmoid(o) * 10).astype(int), 9)
    gaps = [(bins == b).mean() * abs((y - sigmoid(o))[bins == b].mean()) for b in np.unique(bins)]
    return np.sum(gaps)


def independent(metric):
    return functools.partial(metric, independent=True)


CASES = {
    "auc": Case(metrics.roc_auc, auc, LOGIT, TRUE),
    "auc-ties": Case(metrics.roc_auc, auc, TIED, TRUE),
    "auc-classes": Case(metrics.roc_auc, of_classes(auc), SCORES, LABELS),
    "auc-labels": Case(independent(metrics.roc_auc), of_labels(auc), SCORES, SEVERAL),
    "precision": Case(metrics.average_precision, precision, LOGIT, TRUE),
    "precision-ties": Case(metrics.average_precision, precision, TIED, TRUE),
    "precision-classes": Case(metrics.average_precision, of_classes(precision), SCORES, LABELS),
    "balanced": Case(metrics.balanced_accuracy, balanced, LOGIT, TRUE),
    "balanced-classes": Case(metrics.balanced_accuracy, balanced, SCORES, LABELS),
    "balanced-labels": Case(
        independent(metrics.balanced_accuracy), of_labels(balanced), SCORES, SEVERAL
    ),
    "f1": Case(metrics.f1, functools.partial(f1_of, 1), LOGIT, TRUE),
    "f1-classes": Case(metrics.f1, macro_f1, SCORES, LABELS),
    "f1-labels": Case(
        independent(metrics.f1), of_labels(functools.partial(f1_of, 1)), SCORES, SEVERAL
    ),
    "brier": Case(metrics.brier, brier, LOGIT, TRUE),
    "brier-classes": Case(metrics.brier, brier_of_classes, SCORES, LABELS),
    "brier-labels": Case(independent(metrics.brier), of_labels(brier), SCORES, SEVERAL),
    "calibration": Case(metrics.calibration_error, calibration_error, LOGIT, TRUE),
    "rmse": Case(metrics.rmse, lambda o, y: np.sqrt(((o - y) ** 2).mean(0)).mean(), *PAIRS),
    "mae": Case(metrics.mae, lambda o, y: np.abs(o - y).mean(), *PAIRS),
    "poisson": Case(metrics.deviance(losses.poisson), poisson_deviance, LOGIT, COUNTS),
    "d2-poisson": Case(metrics.d2(losses.poisson), explained(poisson_deviance), LOGIT, COUNTS),
    "gamma": Case(metrics.deviance(losses.gamma), gamma_deviance, LOGIT, COUNTS + 0.5),
    "d2-gamma": Case(metrics.d2(losses.gamma), explained(gamma_deviance), LOGIT, COUNTS + 0.5),
    "d2-squared": Case(
        metrics.d2(losses.squared_error),
        explained(lambda o, y: np.mean((o - y) ** 2), link=float),
        *(pair[:, 0] for pair in PAIRS),
    ),
    "d2-classes": Case(metrics.d2(losses.softmax_cross_entropy), d2_log_loss, SCORES, LABELS),
}
every = pytest.mark.parametrize("name", CASES)


def single(*arrays):
    return [jnp.asarray(a, jnp.float32 if a.dtype == float else None) for a in arrays]


@every
def test_is_the_definition(name):
    metric, oracle, o, y = CASES[name]
    o = np.float32(o).astype(float)  # ties are those of the outputs that the metric sees
    got = metric(*single(o, y))
    assert got.shape == () and got.dtype == jnp.float32
    np.testing.assert_allclose(got, oracle(o, y), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.jit(metric)(*single(o, y)), got, rtol=1e-6, atol=1e-6)


@every
def test_weights_count_copies_and_zero_is_absent(name):
    """Under jit and vmap, with NaN in absent rows; and no derivative there."""
    metric, oracle, o, y = CASES[name]
    o = np.float32(o).astype(float)
    expected = oracle(np.repeat(o, WEIGHT, axis=0), np.repeat(y, WEIGHT, axis=0))
    blotted = np.where((WEIGHT == 0).reshape(-1, *[1] * (o.ndim - 1)), np.nan, o)
    o, y, weight = *single(blotted, y), jnp.asarray(WEIGHT, jnp.float32)
    np.testing.assert_allclose(metric(o, y, weight), expected, rtol=1e-6, atol=1e-6)
    weights = jnp.stack([weight, 0.3 * weight])
    mapped = jax.jit(jax.vmap(jax.value_and_grad(metric), (None, None, 0)))
    values, slopes = mapped(o, y, weights)
    np.testing.assert_allclose(values, [expected] * 2, rtol=1e-6, atol=1e-6)
    assert np.isfinite(slopes).all() and not slopes[:, WEIGHT == 0].any()


@every
def test_a_present_nan_is_told(name):
    metric, _, o, y = CASES[name]
    o = np.array(o)
    o[3] = np.nan
    assert np.isnan(metric(*single(o, y)))


RANKED = [metrics.roc_auc, metrics.average_precision]


@pytest.mark.parametrize("metric", RANKED)
def test_a_class_alone_has_no_rank(metric):
    none = jnp.zeros(3, int)
    assert np.isnan(metric(jnp.arange(3.0), none))
    assert np.isnan(metric(jnp.arange(3.0), none.at[0].set(1), jnp.array([0.0, 1, 1])))


@pytest.mark.parametrize("metric", [*RANKED, metrics.f1, metrics.brier, metrics.balanced_accuracy])
def test_two_classes_are_one_logit(metric):
    pair = np.stack([LOGIT, 2 * LOGIT], axis=1)
    np.testing.assert_allclose(metric(pair, TRUE), metric(LOGIT, TRUE), rtol=1e-6)


def test_probabilities_that_round_to_one_are_still_ranked():
    """40 and 60 are two log-odds, of which float32 makes the same probability."""
    o = np.zeros((4, 3))
    o[:, 0] = [60, 40, 20, 50]
    np.testing.assert_array_equal(np.argsort(log_odds(jnp.asarray(o))[:, 0]), [2, 1, 3, 0])


@pytest.mark.parametrize("n", [100_000, 65_537])
def test_sums_of_many_examples_keep_their_digits(n):
    """One after another, 100,000 float32 weights are added up to three digits."""
    local = np.random.default_rng(1)
    y, weight = local.integers(0, 2, n), local.random(n).astype(np.float32)
    o = np.float32(0.3 * y + local.normal(size=n))
    order = np.argsort(o)
    below = np.cumsum(np.float64(weight * (1 - y))[order])
    area = np.sum((weight * y)[order] * below) / below[-1] / np.sum(np.float64(weight * y))
    np.testing.assert_allclose(metrics.roc_auc(o, y, weight), area, rtol=5e-7)
    loss = np.average(np.logaddexp(0, np.float64(o)) - y * o, weights=np.float64(weight))
    np.testing.assert_allclose(jax.jit(metrics.log_loss)(o, y, weight), loss, rtol=5e-7)
    mean = np.average(np.abs(np.float64(o)), weights=np.float64(weight))
    np.testing.assert_allclose(metrics.mae(o, np.zeros_like(o), weight), mean, rtol=5e-7)


def test_the_order_is_found_once_for_many_weights():
    mapped = jax.vmap(metrics.roc_auc, (None, None, 0))
    text = str(jax.make_jaxpr(mapped)(*single(LOGIT, TRUE), jnp.ones((7, N))))
    assert text.count("sort[") == 1 and f"f32[7,{N}] = sort" not in text


def test_the_curve_goes_from_none_to_all():
    false, true, threshold = metrics.roc_curve(*single(TIED, TRUE))
    np.testing.assert_allclose(np.trapezoid(true, false), auc(np.float32(TIED), TRUE), rtol=1e-6)
    assert (np.diff(false) >= 0).all() and (np.diff(true) >= 0).all() and threshold[0] == np.inf
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    with pytest.raises(ValueError, match=r"o has shape \(40, 4\); expected one logit per example"):
        metrics.roc_curve(SCORES, LABELS)


def test_a_calibration_curve_has_a_point_for_every_bin():
    curve = metrics.calibration_curve(*single(LOGIT, TRUE), bins=4)
    bins = (sigmoid(np.float32(LOGIT)) * 4).astype(int)
    for place in range(4):
        inside = bins == place
        assert curve.weight[place] == inside.sum()
        np.testing.assert_allclose(curve.observed[place], TRUE[inside].mean(), rtol=1e-6)
        np.testing.assert_allclose(curve.predicted[place], sigmoid(LOGIT)[inside].mean(), rtol=1e-6)
    certain = metrics.calibration_curve(np.eye(3)[[0, 1]] * 99, jnp.array([0, 2]))
    np.testing.assert_array_equal(certain.weight, [0] * 9 + [2])
    assert certain.observed[-1] == 0.5 and np.isnan(certain.observed[0])


def test_a_confusion_matrix_counts():
    expected = np.zeros((K, K))
    np.add.at(expected, (LABELS, SCORES.argmax(axis=1)), WEIGHT)
    got = metrics.confusion_matrix(*single(SCORES, LABELS), WEIGHT)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("loss", [losses.poisson, losses.squared_error])
def test_a_constant_target_has_nothing_to_explain(loss):
    zeros = jnp.zeros(4)
    assert metrics.d2(loss)(zeros + 1, zeros) == 0
    assert metrics.d2(losses.squared_error)(zeros, zeros) == 1


@pytest.mark.parametrize("metric", [metrics.deviance, metrics.d2])
def test_a_loss_without_a_likelihood_is_refused(metric):
    with pytest.raises(ValueError, match="huber is no likelihood; expected a loss such as"):
        metric(losses.huber)


def test_soft_targets_are_shares_of_two_examples():
    soft = np.float32(rng.random(N))
    o, y = np.concatenate([LOGIT, LOGIT]), np.repeat([1, 0], N)
    shares = np.concatenate([soft, 1 - soft])
    for metric in (*RANKED, metrics.log_loss):
        expected = metric(*single(o, y), jnp.asarray(shares))
        np.testing.assert_allclose(metric(*single(LOGIT, soft)), expected, rtol=2e-6)

"""Metrics against NumPy, with and without weights."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from jaxlinear import losses, metrics

rng = np.random.default_rng(0)
O, Y = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))  # noqa: E741
LOGITS, LABELS = rng.normal(size=(30, 4)), rng.integers(0, 4, 30)
WEIGHT = rng.integers(0, 3, 30)


def single(*arrays):
    return [jnp.asarray(a, jnp.float32 if a.dtype == float else None) for a in arrays]


def r2(o, y):
    return (1 - ((y - o) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)).mean()


CASES = [
    (metrics.mse, O, Y, lambda o, y: ((o - y) ** 2).mean()),
    (metrics.mse, O[:, 0], Y[:, 0], lambda o, y: ((o - y) ** 2).mean()),
    (metrics.r2, O, Y, r2),
    (metrics.r2, O[:, 0], Y[:, 0], r2),
    (metrics.accuracy, LOGITS, LABELS, lambda o, y: (o.argmax(1) == y).mean()),
    (metrics.accuracy, LOGITS[:, 0], LABELS % 2, lambda o, y: ((o > 0) == y).mean()),
    (metrics.accuracy, LABELS, LABELS[::-1], lambda o, y: (o == y).mean()),
    (
        metrics.log_loss,
        LOGITS,
        LABELS,
        lambda o, y: np.mean(
            [oracles.softmax_cross_entropy(*pair) for pair in zip(o, y, strict=True)]
        ),
    ),
    (
        metrics.log_loss,
        LOGITS[:, 0],
        LABELS % 2,
        lambda o, y: np.mean([oracles.logistic(*pair) for pair in zip(o, y, strict=True)]),
    ),
]


@pytest.mark.parametrize(("metric", "o", "y", "oracle"), CASES)
def test_metrics(metric, o, y, oracle):
    got = metric(*single(o, y))
    np.testing.assert_allclose(got, oracle(o, y), rtol=1e-5)
    assert got.shape == () and got.dtype == jnp.float32
    weighted = metric(*single(o, y), jnp.asarray(WEIGHT, jnp.float32))
    copies = np.repeat(o, WEIGHT, 0), np.repeat(y, WEIGHT, 0)
    np.testing.assert_allclose(weighted, oracle(*copies), rtol=1e-5)


@pytest.mark.parametrize(("metric", "o", "y", "oracle"), CASES)
def test_weight_zero_is_absent(metric, o, y, oracle):
    if o.dtype != float:
        pytest.skip("integer labels hold no NaN")
    o = np.where((WEIGHT == 0).reshape(-1, *[1] * (o.ndim - 1)), np.nan, o)
    got = metric(*single(o, y), jnp.asarray(WEIGHT, jnp.float32))
    assert np.isfinite(got)


def test_accuracy_of_distributions():
    soft = np.eye(4)[LABELS] * 0.7 + 0.075
    np.testing.assert_array_equal(
        metrics.accuracy(*single(LOGITS, soft)), metrics.accuracy(*single(LOGITS, LABELS))
    )


def test_r2_of_a_constant_target():
    constant = jnp.full(5, 3.0)
    assert metrics.r2(constant, constant) == 1.0
    assert metrics.r2(constant + 1, constant) == 0.0


def test_mean_of_a_loss_is_a_metric():
    got = metrics.mean(losses.absolute)(*single(O[:, 0], Y[:, 0]))
    np.testing.assert_allclose(got, np.abs(O - Y)[:, 0].mean(), rtol=1e-5)
    jax.jit(metrics.mean(losses.absolute))(*single(O[:, 0], Y[:, 0]))


@pytest.mark.parametrize("metric", [metrics.mse, metrics.r2])
def test_shapes_are_not_broadcast(metric):
    with pytest.raises(ValueError, match="expected the same"):
        metric(np.zeros(4, np.float32), np.zeros((4, 1), np.float32))

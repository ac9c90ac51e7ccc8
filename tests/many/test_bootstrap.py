"""Bootstrap intervals of metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear import metrics, resample

KEY = jax.random.key(0)
rng = np.random.default_rng(0)
N = 400
O = rng.normal(size=N).astype(np.float32)  # noqa: E741
Y = (O + rng.normal(size=N) > 0).astype(int)


def test_a_mean_has_the_interval_of_the_normal_distribution():
    value, low, high = resample.interval(metrics.accuracy, KEY, O, Y, samples=4000)
    right = (O > 0) == Y
    margin = 1.96 * right.std() / np.sqrt(N)
    np.testing.assert_allclose(value, right.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        [low, high], [right.mean() - margin, right.mean() + margin], atol=0.006
    )
    _, narrow, wide = resample.interval(metrics.accuracy, KEY, O, Y, samples=4000, level=0.5)
    np.testing.assert_allclose(wide - narrow, (high - low) * 0.6745 / 1.96, rtol=0.1)


def test_groups_are_drawn_whole():
    """40 copies of ten examples tell no more than the ten."""
    groups = np.repeat(np.arange(10), 40)
    o, y = np.repeat(O[:10], 40), np.repeat(Y[:10], 40)
    few = resample.interval(metrics.mae, KEY, O[:10], np.float32(Y[:10]))
    whole = resample.interval(metrics.mae, KEY, o, np.float32(y), groups=groups)
    np.testing.assert_allclose(whole, few, rtol=1e-5)
    apart = resample.interval(metrics.mae, KEY, o, np.float32(y))
    assert apart.high - apart.low < 0.4 * (few.high - few.low)


def test_examples_of_weight_0_are_absent_and_samples_without_a_value_are_left_out():
    weight = np.float32(np.arange(N) < 12)
    y = np.where(np.arange(N) == 3, 1, 0)  # a third of all samples have no example of class 1
    o = np.where(weight > 0, O, np.nan)
    area = resample.interval(metrics.roc_auc, KEY, o, y, weight)
    alone = resample.interval(metrics.roc_auc, KEY, o[:12], y[:12])
    assert np.isfinite(area).all() and area.low <= area.value <= area.high
    np.testing.assert_allclose(area.value, alone.value)


def test_many_at_once_are_as_one_by_one():
    o = jnp.stack([O, -O, 2 * O + 1], axis=1)

    def of(column):
        return resample.interval(metrics.roc_auc, KEY, column, jnp.asarray(Y), samples=50)

    many = jax.jit(jax.vmap(of, 1))(o)
    for j in range(3):
        np.testing.assert_allclose([part[j] for part in many], of(o[:, j]), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"level": 95.0}, "level is 95.0; expected a number between 0 and 1"),
        ({"groups": [1, 2]}, "groups has 2 entries; expected 400, one per row"),
    ],
)
def test_what_makes_no_interval_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        resample.interval(metrics.accuracy, KEY, O, Y, **options)

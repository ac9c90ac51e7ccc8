"""Data made from a key: the chapter's sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear.data import synthetic_classification, synthetic_regression


def test_the_regression_of_the_chapter(key):
    batch = synthetic_regression(key, 1000, [2, -3.4], 4.2)
    assert batch.x.shape == (1000, 2) and batch.y.shape == (1000,) and batch.weight is None
    residual = batch.y - (batch.x @ np.array([2, -3.4], np.float32) + 4.2)
    assert float(residual.std()) == pytest.approx(0.01, rel=0.1)
    assert abs(float(residual.mean())) < 0.002
    assert float(batch.x.std()) == pytest.approx(1.0, rel=0.1)


def test_features_and_noise_are_independent(key):
    """The book's JAX tab draws both from one key."""
    batch = synthetic_regression(key, 20_000, [0.0], 0.0, noise=1.0)
    assert abs(np.corrcoef(batch.x[:, 0], batch.y)[0, 1]) < 0.03


def test_the_weight_decay_set_and_several_outputs(key):
    batch = synthetic_regression(key, 120, 0.01 * jnp.ones(200), 0.05)
    assert batch.x.shape == (120, 200)
    outputs = synthetic_regression(key, 7, np.ones((3, 2)), np.zeros(3))
    assert outputs.y.shape == (7, 3)


def test_one_key_is_one_data_set(key):
    for make in (
        lambda key: synthetic_regression(key, 9, [1.0], 0.0),
        lambda key: synthetic_classification(key, 9),
    ):
        jax.tree.map(np.testing.assert_array_equal, make(key), make(key))
        assert (make(key).x != make(jax.random.key(1)).x).any()


def test_classes_can_be_told_apart(key):
    batch = synthetic_classification(key, 3000, features=10, classes=3, separation=4.0)
    assert batch.y.dtype == jnp.int32 and set(np.unique(batch.y)) == {0, 1, 2}
    centres = np.stack([batch.x[batch.y == c].mean(0) for c in range(3)])
    distance = ((np.asarray(batch.x)[:, None] - centres) ** 2).sum(-1)
    assert (distance.argmin(1) == batch.y).mean() > 0.9


def test_refusals(key):
    with pytest.raises(ValueError, match=r"w has shape \(2,\) and b \(2,\)"):
        synthetic_regression(key, 10, [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="n is 0"):
        synthetic_regression(key, 0, [1.0], 0.0)
    with pytest.raises(ValueError, match=r"classes is -1"):
        synthetic_classification(key, 10, classes=-1)

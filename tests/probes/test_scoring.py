"""Scores of probes: each metric and interval as of one probe alone."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear import metrics, probes, resample

rng = np.random.default_rng(0)
LAYERS, N, K = 2, 120, 2
O = rng.normal(size=(LAYERS, N, K)).astype(np.float32)  # noqa: E741
Y = (O[0] + rng.normal(size=(N, K)) > 0) * 1.0
LABELLED = rng.random((N, K)) < 0.8
GROUPS = rng.integers(0, 30, N)
FOLDS = np.asarray(np.arange(N) % 3 != np.arange(3)[:, None], np.float32)


@pytest.mark.parametrize("folds", [None, FOLDS])
def test_scores_are_those_of_every_probe_alone(key, folds):
    """With labels, predictions and folds that are missing, and groups that are drawn whole."""
    predicted = np.where(np.arange(N)[:, None] % 11 == 0, np.nan, O)
    chosen = {"auc": metrics.roc_auc, "error": metrics.brier}
    options = {"key": key, "groups": GROUPS, "samples": 20}
    found = probes.scores(
        predicted, np.where(LABELLED, Y, np.nan), metrics=chosen, folds=folds, **options
    )
    shape = (LAYERS, K) if folds is None else (3, LAYERS, K)
    for name, metric in chosen.items():
        assert found[name].value.shape == shape
        for place in np.ndindex(shape):
            *fold, layer, concept = place
            weight = np.float32(LABELLED[:, concept] & (np.arange(N) % 11 != 0))
            weight = weight * (folds[fold[0]] == 0 if fold else 1)
            alone = resample.interval(
                metric, key, O[layer, :, concept], Y[:, concept], weight, groups=GROUPS, samples=20
            )
            np.testing.assert_allclose([part[place] for part in found[name]], alone, rtol=1e-5)


@pytest.mark.full
def test_scores_of_classes_and_of_one_probe(key):
    o = rng.normal(size=(N, K, 3)).astype(np.float32)
    y = np.argmax(o + rng.normal(size=o.shape), axis=2)
    found = probes.scores(o, y, key=key, samples=5)
    assert set(found) == {"roc_auc", "balanced_accuracy", "f1", "calibration_error"}
    for concept in range(K):
        for name, interval in found.items():
            expected = getattr(metrics, name)(o[:, concept], y[:, concept])
            np.testing.assert_allclose(interval.value[concept], expected, rtol=1e-5)
    nothing = probes.scores(np.full(N, np.nan, np.float32), Y[:, 0], key=key, samples=5)
    assert all(np.isnan(part) for part in nothing["f1"])
    for arguments, message in (
        ((O[0, :-1], Y), r"o has shape \(119, 2\) and y \(120, 2\); expected y"),
        ((O[0], 2 * Y), r"expected numbers in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            probes.scores(*arguments, key=key)
    with pytest.raises(ValueError, match="groups has 121 entries; expected 120"):
        probes.scores(O[0], Y, key=key, groups=np.zeros(121))


def test_numbers_have_scores_too(key):
    y = jnp.asarray(O[0, :, 0] * 3 + 1)
    found = probes.scores(y + O[1, :, 0], y, key=key, metrics={"r2": jl.metrics.r2}, samples=5)
    np.testing.assert_allclose(found["r2"].value, metrics.r2(y + O[1, :, 0], y), rtol=1e-5)

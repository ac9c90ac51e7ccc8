"""Probes of layers for concepts: what a loop over layers, folds and concepts computes in NumPy."""

import jax
import numpy as np
import pytest
from oracles import logistic_fit, standardised

import jaxlinear as jl
from jaxlinear import losses, probes, resample
from jaxlinear.convex.probe import usual_penalties
from jaxlinear.probes import layers

rng = np.random.default_rng(0)
LAYERS, N, D, K = 2, 90, 4, 3
Z = rng.normal(size=(LAYERS, N, D))
X = Z * np.array([1, 30, 0.1, 0]) + 2.0
Y = (Z.sum(axis=0) @ rng.normal(size=(D, K)) + rng.normal(size=(N, K)) > 0.5) * 1.0
GROUPS = rng.integers(0, 12, N)
WEIGHT = rng.integers(1, 3, (N, K)) * 1.0
L2S = np.array([1e-3, 1e-2, 1e-1])


def even(y, weight):
    share = np.array([weight[y == label].sum() for label in (0, 1)])
    return weight * weight.sum() / 2 / share[y.astype(int)]


def probe(x, y, weight, rows, folds, balanced):
    """The scores of all l2, the best of them, w, b, and the outputs of rows held out."""
    evened = even if balanced else lambda y, weight: weight
    scores, outputs = [], []
    for l2 in L2S:
        o, error, held = np.full(len(y), np.nan), 0.0, 0.0
        for fold in folds:
            z, _, _ = standardised(x, rows * fold)
            present = (weight * fold) > 0
            label, own = y[present], (weight * fold)[present]
            w, b = logistic_fit(z[present], label, evened(label, own), l2)
            out = fold == 0
            o[out] = z[out] @ w + b
            counts = out & (weight > 0)
            loss = np.logaddexp(0, o[counts]) - y[counts] * o[counts]
            error, held = error + weight[counts] @ loss, held + weight[counts].sum()
        scores.append(error / held)
        outputs.append(o)
    best = int(np.argmin(scores))
    z, mean, scale = standardised(x, rows)
    present = weight > 0
    label, own = y[present], weight[present]
    w, b = logistic_fit(z[present], label, evened(label, own), L2S[best])
    return scores, L2S[best], w * scale, b - (w * scale) @ mean, outputs[best]


def check(found, x, y, weight, rows, folds, balanced):
    for place in np.ndindex(len(x), y.shape[1]):
        layer, concept = place
        column = y[:, concept], weight[:, concept]
        scores, l2, w, b, o = probe(x[layer], *column, rows, folds, balanced)
        np.testing.assert_allclose(found.scores[layer, :, concept], scores, rtol=1e-6)
        assert found.l2[place] == l2
        np.testing.assert_allclose(found.fit.params.w[place], w, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.fit.params.b[place], b, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.outputs[layer, :, concept], o, rtol=1e-4, atol=1e-6)
    assert (found.fit.report.status == jl.Status.CONVERGED).all()


def test_layers_are_those_of_a_loop_over_concepts_and_folds(x64, key, compilations):
    """Weights, balanced classes, labels that are missing, and rows that hold NaN."""
    labelled = rng.random((N, K)) < 0.8
    labelled[:5] = False  # these rows are absent
    x = np.where(labelled.any(axis=1)[:, None], X, np.nan)
    y = np.where(labelled, Y, np.nan)
    folds = np.asarray(resample.group_k_fold(key, GROUPS, 3), float)
    options = {"error": losses.logistic, "class_weight": "balanced"}
    found = probes.of_layers(x, y, None, L2S, folds=folds, weight=WEIGHT, **options)
    rows = WEIGHT.mean(axis=1) * labelled.any(axis=1)
    check(found, x, np.where(labelled, Y, 0), WEIGHT * labelled, rows, folds, True)
    probes.of_layers(2 * x, y, None, 2 * L2S, folds=folds, weight=3 * WEIGHT, **options)
    assert compilations("_of_fold") == compilations("_chosen") == 1


@pytest.mark.full
def test_blocks_of_concepts_are_all_of_them(x64, key, monkeypatch):
    """Of sixteen at most: 35 are three of twelve, of which the last overlaps the one before."""
    folds = np.asarray(resample.k_fold(key, N, 3), float)
    weight = rng.integers(1, 3, (N, 35)) * 1.0
    y = (Z[0] @ rng.normal(size=(D, 35)) > rng.normal(size=(N, 35))) * 1.0
    whole = probes.of_layers(X[0], y, None, L2S, folds=folds, weight=weight)
    monkeypatch.setattr(layers, "with_room", lambda concepts, coefficients: min(concepts, 16))
    found = probes.of_layers(X[0], y, None, L2S, folds=folds, weight=weight)
    for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
        assert leaf.shape == expected.shape
    np.testing.assert_array_equal(found.l2, whole.l2)
    for name in ("scores", "outputs"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.fit.params.w, whole.fit.params.w, rtol=1e-5, atol=1e-7)


@pytest.mark.full
def test_concepts_that_share_their_weights(x64):
    held = np.arange(N) % 3 == 0
    found = probes.of_layers(X, Y, held, L2S, error=losses.logistic)
    ones = np.ones((N, K))
    check(found, X, Y, ones, ones[:, 0], [np.where(held, 0.0, 1.0)], False)
    assert np.isnan(found.outputs[:, ~held]).all() and found.scaling.scale[0, 3] == 0
    test = jl.predict(
        found.fit.params._replace(w=found.fit.params.w[0], b=found.fit.params.b[0]), X[0]
    )
    assert test.shape == (N, K)  # the parameters are those of x itself


@pytest.mark.full
def test_a_dict_of_layers_and_several_classes_of_which_some_are_missing(x64):
    y = np.stack([Y[:, 0] + Y[:, 1], Y[:, 2]], axis=1)
    y[::7, 0] = np.nan
    held = np.arange(N) % 3 == 0
    x = {"first": X[0], "second": X[1]}
    options = {"loss": losses.softmax_cross_entropy, "standardise": False}
    found = probes.of_layers(x, y, held, [1e-1], **options)
    assert set(found) == set(x) and found["second"].outputs.shape == (N, 2, 3)
    known = ~np.isnan(y[:, 0])
    fit = jl.softmax_regression(X[1, known], y[known, 0].astype(int), 1e-1)
    mine = jax.tree.map(lambda leaf: leaf[0], found["second"].fit.params)
    np.testing.assert_allclose(jl.predict(mine, X[1]), jl.predict(fit.params, X[1]), atol=1e-4)
    wrong = (np.argmax(found["second"].outputs[:, 0], axis=1) != y[:, 0])[held & known]
    np.testing.assert_allclose(found["second"].scores[0, 0], wrong.mean(), rtol=1e-6)


def test_trouble_inside_a_program_is_a_status():
    x = np.float32(X)
    held = np.arange(N) % 3 == 0
    program = jax.jit(lambda x: probes.of_layers(x, np.float32(Y[:, 0]), held, [0.1]))
    found = program(np.where(np.arange(LAYERS)[:, None, None] == 1, np.inf, x))
    assert found.fit.report.status.tolist() == [jl.Status.CONVERGED, jl.Status.NONFINITE_INPUT]
    assert np.isnan(found.fit.params.w[1]).all() and np.isnan(found.scores[1]).all()
    assert np.isfinite(found.fit.params.w[0]).all()


def test_what_makes_no_probes_is_refused():
    held = np.arange(N) % 3 == 0
    for arguments, options, message in (
        ((X, Y), {}, "held_out and folds: expected one of them"),
        ((X, Y, held), {"folds": 3}, "held_out and folds: expected one of them"),
        ((X[:, 1:], Y, held), {}, r"x has shape \(2, 89, 4\); expected \(layers, 90, d\)"),
        ((X, Y[:, :, None], held), {}, r"y has shape \(90, 3, 1\); expected \(n,\), or \(n, k\)"),
        ((X, 2 * Y, held), {}, r"expected numbers in \[0, 1\]"),
        ((X, Y, held, [-1.0]), {}, "l2s is"),
        ((X, Y, held), {"class_weight": "even"}, "class_weight is 'even'"),
        ((X, Y * np.nan, held), {}, "weight is 0 everywhere"),
    ):
        with pytest.raises(ValueError, match=message):
            probes.of_layers(*arguments, **options)
    with pytest.raises(ValueError, match=r"x\[3, 1\] is nan") as problem:
        probes.of_layers({"a": np.where(X[0] == X[0, 3, 1], np.nan, X[0])}, Y, held)
    assert "the layer 'a'" in problem.value.__notes__[0]


def test_usual_penalties_are_of_the_dtype_of_the_call():
    """In float32 after a call in float64, and the other way round."""
    penalties = jax.jit(usual_penalties)
    for wide in (True, False, True):
        with jax.enable_x64(wide):
            found = penalties(np.array(90.0, np.float64 if wide else np.float32))
            assert found.dtype == (np.float64 if wide else np.float32)
            np.testing.assert_allclose(found, 1 / (90 * np.logspace(-6, 5, 45)), rtol=1e-6)

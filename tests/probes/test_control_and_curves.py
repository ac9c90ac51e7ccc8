"""Control tasks, learning curves and description lengths, against loops of separate fits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import logistic_fit, standardised

from jaxlinear import losses, probes

rng = np.random.default_rng(0)
LAYERS, N, D, K = 2, 80, 3, 2
X = rng.normal(size=(LAYERS, N, D)) * np.array([1, 20, 0.1]) + 1.0
Y = (X[0] @ rng.normal(size=(D, K)) * 0.2 + rng.normal(size=(N, K)) > 0.2) * 1.0
LABELLED = rng.random((N, K)) < 0.9
LABELLED[:4] = False
HELD = np.arange(N) % 4 == 0
TYPES = rng.integers(0, 9, N)
SOME = np.where(LABELLED, Y, np.nan)
ROWS = LABELLED.any(axis=1) * 1.0
BROKEN = np.where(LABELLED.any(axis=1)[:, None], X, np.nan)


def outputs(x, y, sample, l2, there):
    """Of a probe that is fitted to the rows of a sample; ``there`` are the rows that scale x."""
    z, _, _ = standardised(x, there * 1.0)
    w, b = logistic_fit(z[sample], y[sample], np.ones(sample.sum()), l2)
    return z @ w + b


def test_a_learning_curve_is_a_loop_over_samples(x64, key):
    """The sample is known by its size and by what it scores; all rows are the probe itself."""
    most = int((LABELLED & ~HELD[:, None]).sum(axis=0).min())
    sizes = np.array([20, most])
    options = {"key": key, "error": losses.logistic, "repeats": 2}
    curve = probes.learning_curve(BROKEN, SOME, HELD, sizes, 0.01, **options)
    assert curve.scores.shape == (LAYERS, 2, 2, K)
    orders = [jax.random.uniform(key, (N,)) for key in jax.random.split(key, 2)]
    for layer, size, repeat in np.ndindex(LAYERS, 2, 2):
        samples = []
        for concept in range(K):
            fitted = np.flatnonzero(LABELLED[:, concept] & ~HELD)
            first = fitted[np.argsort(np.asarray(orders[repeat])[fitted])][: sizes[size]]
            samples.append(np.isin(np.arange(N), first))
        for concept in range(K):
            y, sample = Y[:, concept], samples[concept]
            l2 = 0.01 * (LABELLED[:, concept] & ~HELD).sum() / sizes[size]
            o = outputs(X[layer], y, sample, l2, np.any(samples, axis=0))
            held = LABELLED[:, concept] & HELD
            loss = (np.logaddexp(0, o) - y * o)[held].mean()
            got = curve.scores[layer, size, repeat, concept]
            np.testing.assert_allclose(got, loss, rtol=1e-6)
    for wrong, message in (([0], "is 0; expected 1 …"), ([N], "is 80; expected 1 …")):
        with pytest.raises(ValueError, match=rf"sizes\[0\] {message}"):
            probes.learning_curve(X, SOME, HELD, wrong, **options)


def code_length(x, y, known, l2, portions):
    """Bits of every block, by a loop of fits on prefixes, of the rows of one concept that count."""
    index = np.flatnonzero(known)
    ends = [round(portion * len(index)) for portion in portions] + [len(index)]
    blocks = [float(ends[0])]
    for start, end in itertools.pairwise(ends):
        prefix, block = (np.isin(np.arange(N), part) for part in (index[:start], index[start:end]))
        if len(np.unique(y[prefix])) < 2:
            blocks.append(float(block.sum()))
            continue
        o = outputs(x, y, prefix, l2 * len(index) / start, prefix)
        blocks.append((np.logaddexp(0, o) - y * o)[block].sum() / np.log(2))
    return blocks


def test_a_description_is_the_code_of_a_loop_over_prefixes(x64):
    portions = (0.02, 0.1, 0.5)
    y, known = SOME[:, 0], LABELLED[:, 0]
    x = np.where(known[:, None], X, np.nan)
    told = probes.description_length(x, y, 0.01, key=None, portions=portions)
    assert told.blocks.shape == (LAYERS, 4)
    for layer in range(LAYERS):
        blocks = code_length(X[layer], Y[:, 0], known, 0.01, portions)
        np.testing.assert_allclose(told.blocks[layer], blocks, rtol=1e-5)
        np.testing.assert_allclose(told.bits[layer], sum(blocks), rtol=1e-5)
        np.testing.assert_allclose(told.compression[layer], known.sum() / sum(blocks), rtol=1e-5)


@pytest.mark.full
def test_codes_of_classes_of_concepts_and_of_nothing(key):
    """Labels that are in x are described briefly, those of a coin by about a bit each."""
    n = 400
    x = np.float32(rng.normal(size=(n, 3)))
    coin = rng.integers(0, 2, n)
    y = np.stack([np.argmax(x, axis=1), coin], axis=1)
    told = probes.description_length(
        x, y, 1e-3, key=key, portions=(0.1, 0.5), loss=losses.softmax_cross_entropy
    )
    np.testing.assert_allclose(told.uniform, n * np.log2(3), rtol=1e-6)
    assert told.bits[0] < 0.3 * told.uniform[0] and 0.9 * n < told.bits[1] < told.uniform[1]
    for wrong, message in (((0.5, 0.1), "increase"), ((0.0, 0.5), "increase")):
        with pytest.raises(ValueError, match=message):
            probes.description_length(x, coin, key=key, portions=wrong)
    with pytest.raises(ValueError, match="squared_error has no code"):
        probes.description_length(x, coin, key=key, loss=losses.squared_error)


def test_control_labels_are_of_types_or_shuffled(key):
    control = np.asarray(probes.control_labels(key, SOME, TYPES))
    for concept in range(K):
        known = LABELLED[:, concept]
        assert np.isnan(control[~known, concept]).all()
        for each in range(9):
            assert len(np.unique(control[known & (each == TYPES), concept])) <= 1
    shuffled = np.asarray(probes.control_labels(key, SOME))
    np.testing.assert_array_equal(np.nansum(shuffled, axis=0), np.nansum(SOME, axis=0))
    np.testing.assert_array_equal(np.isnan(shuffled), ~LABELLED)
    assert (shuffled != SOME)[LABELLED].mean() > 0.2
    many = probes.control_labels(key, np.repeat(SOME[:, :1], 50, axis=1), np.arange(N))
    np.testing.assert_allclose(np.nanmean(many), np.nanmean(SOME[:, 0]), atol=0.05)
    with pytest.raises(ValueError, match="types has 2 entries; expected 80"):
        probes.control_labels(key, Y, [1, 2])


def test_selectivity_is_the_difference_of_probes_alone(key):
    """For a concept by itself too, in one program, that a second call does not compile anew."""
    x, y = np.float32(X), np.float32(Y[:, 0])
    found = probes.selectivity(x, y, HELD, [0.1, 1.0], key=key, types=TYPES, controls=3)
    assert found.selectivity.shape == (LAYERS,) and found.control_error.shape == (LAYERS, 3)
    assert found.probes.fit.params.w.shape == (LAYERS, D) and found.probes.scores.shape == (2, 2)
    draws = [probes.control_labels(key, y[:, None], TYPES) for key in jax.random.split(key, 3)]
    every = jnp.concatenate([y[:, None], *draws], axis=1)
    alone = probes.of_layers(x, every, HELD, [0.1, 1.0])  # the same program
    error = np.asarray(alone.scores).min(axis=1)
    np.testing.assert_allclose(found.error, error[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.control_error, error[:, 1:], rtol=1e-6)
    np.testing.assert_allclose(
        found.selectivity, error[:, 1:].mean(axis=1) - error[:, 0], rtol=1e-6
    )
    assert found.probes.outputs.shape == (LAYERS, N)

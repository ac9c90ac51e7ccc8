"""What can be seen before tracing is refused by name: got, expected, what to do."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl

KEY = 0
SQUARED, SOFTMAX = jl.losses.squared_error, jl.losses.softmax_cross_entropy
X = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
Y = np.arange(6, dtype=np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def changed(array, index, value):
    array = np.array(array, np.result_type(array, np.asarray(value)))
    array[index] = value
    return array


REFUSED = {
    # name: (loss, x, y, options, error, message)
    "x nan": (SQUARED, changed(X, (3, 1), np.nan), Y, {}, ValueError, r"x\[3, 1\] is nan"),
    "x inf": (SQUARED, changed(X, (0, 0), np.inf), Y, {}, ValueError, r"x\[0, 0\] is inf"),
    "x overflows": (SQUARED, changed(X, (2, 0), 1e300), Y, {}, ValueError, r"\[2, 0\] is 1e\+300,"),
    "y nan": (SQUARED, X, changed(Y, 4, np.nan), {}, ValueError, r"y\[4\] is nan"),
    "x 1-D": (SQUARED, Y, Y, {}, ValueError, r"x has shape \(6,\).*x\[:, None\]"),
    "x 3-D": (SQUARED, X[None], Y, {}, ValueError, r"x has shape \(1, 6, 2\)"),
    "no examples": (SQUARED, X[:0], Y[:0], {}, ValueError, r"x has shape \(0, 2\)"),
    "no features": (SQUARED, X[:, :0], Y, {}, ValueError, r"x has shape \(6, 0\)"),
    "x complex": (SQUARED, X + 1j, Y, {}, TypeError, "x has dtype complex"),
    "x objects": (SQUARED, X.astype(object), Y, {}, TypeError, "x has dtype object"),
    "x text": (SQUARED, X.astype(str), Y, {}, TypeError, "x has dtype <U"),
    "y text": (SOFTMAX, X, list("abcabc"), {}, TypeError, "y has dtype <U"),
    "y short": (SQUARED, X, Y[:5], {}, ValueError, r"y has shape \(5,\); expected \(6,\)"),
    "y None": (SQUARED, X, None, {}, TypeError, "y has dtype object"),
    "label -1": (SOFTMAX, X, changed(LABELS, 1, -1), {}, ValueError, r"y\[1\] is -1.*0 … 2"),
    "label k": (SOFTMAX, X, LABELS, {"outputs": 2}, ValueError, r"y\[2\] is 2.*0 … 1"),
    "label 2**40": (SOFTMAX, X, changed(LABELS, 0, 2**40), {}, ValueError, "label 1099511627776"),
    "label 1.5": (SOFTMAX, X, LABELS + 0.5, {}, TypeError, r"integer labels.*astype\(int\)"),
    "labels (n, 1)": (SOFTMAX, X, LABELS[:, None], {}, TypeError, r"shape \(6, 1\)"),
    "probabilities (n, 1)": (
        SOFTMAX, X, np.ones((6, 1)), {}, TypeError, r"shape \(6, 1\).*the logistic loss",
    ),
    "float labels": (SOFTMAX, X, LABELS * 1.0, {}, TypeError, r"y\.astype\(int\)"),
    "one output": (SOFTMAX, X, 0 * LABELS, {"outputs": 1}, ValueError, "one logit: use the log"),
    "several labels": (SOFTMAX, X, np.ones((6, 3), int), {}, ValueError, "sum to 1"),
    "one class": (SOFTMAX, X, 0 * LABELS, {}, ValueError, "at least two classes"),
    "no distribution": (
        SOFTMAX, X, np.full((6, 3), 0.5), {}, ValueError, r"y\[0\] is \[0.5.*sum to 1",
    ),
    "y above 1": (jl.losses.logistic, X, Y, {}, ValueError, r"y\[2\] is 2.0; expected .*\[0, 1\]"),
    "y negative": (jl.losses.poisson, X, Y - 1, {}, ValueError, r"y\[0\] is -1.0; .* ≥ 0"),
    "y zero": (jl.losses.gamma, X, Y, {}, ValueError, r"y\[0\] is 0.0; .* > 0"),
    "no sign": (jl.losses.hinge, X, LABELS, {}, ValueError, r"y\[0\] is 0.0; expected -1 or 1"),
    "weight short": (SQUARED, X, Y, {"weight": Y[:3]}, ValueError, r"weight has shape \(3,\)"),
    "weight negative": (SQUARED, X, Y, {"weight": Y - 1}, ValueError, r"weight\[0\] is -1"),
    "weight nan": (SQUARED, X, Y, {"weight": Y * np.nan}, ValueError, r"weight\[0\] is nan"),
    "weight zero": (SQUARED, X, Y, {"weight": 0 * Y}, ValueError, "0 everywhere"),
    "weight text": (SQUARED, X, Y, {"weight": ["a"] * 6}, TypeError, "weight has dtype"),
    "lr negative": (SQUARED, X, Y, {"lr": -0.1}, ValueError, r"lr is -0.1; expected"),
    "lr nan": (SQUARED, X, Y, {"lr": np.nan}, ValueError, "lr is nan"),
    "lr of many": (SQUARED, X, Y, {"lr": [0.1, 0.2]}, ValueError, r"lr has shape \(2,\).*vmap"),
    "l2 of many": (SQUARED, X, Y, {"l2": np.ones(2)}, ValueError, r"l2 has shape \(2,\); expected"),
    "l2 of other outputs": (SOFTMAX, X, LABELS, {"l2": np.ones(2)}, ValueError, r"or \(3,\)"),
    "l2 negative": (SQUARED, X, Y, {"l2": -1.0}, ValueError, "l2 is -1.0"),
    "momentum 1": (SQUARED, X, Y, {"momentum": 1.0}, ValueError, r"\[0, 1\)"),
    "batch 0": (SQUARED, X, Y, {"batch_size": 0}, ValueError, "batch_size is 0"),
    "batch True": (SQUARED, X, Y, {"batch_size": True}, ValueError, "batch_size is True"),
    "epochs 0": (SQUARED, X, Y, {"epochs": 0}, ValueError, "epochs is 0"),
    "outputs 0": (SOFTMAX, X, LABELS, {"outputs": 0}, ValueError, "outputs is 0"),
    "outputs beside columns": (
        SQUARED, X, np.ones((6, 2)), {"outputs": 3}, ValueError, "y has 2 columns",
    ),
    "init too wide": (SQUARED, X, Y, {"init": jl.zeros(3)}, ValueError, r"init has w \(3,\)"),
    "init of other outputs": (
        SQUARED, X, Y, {"init": jl.zeros(2, 1)}, ValueError, r"expected the same|init has w",
    ),
    "init nan": (
        SQUARED, X, Y, {"init": jl.Linear(jnp.full(2, jnp.nan), jnp.zeros(()))}, ValueError, "init",
    ),
    "validation too wide": (
        SQUARED, X, Y, {"validation": jl.Batch(np.ones((4, 3)), np.ones(4))}, ValueError,
        "validation: x has 3 features",
    ),
    "validation label": (
        SOFTMAX, X, LABELS, {"validation": jl.Batch(X, LABELS + 1)}, ValueError,
        r"validation: y\[2\] is 3",
    ),
    "patience alone": (SQUARED, X, Y, {"patience": 3}, ValueError, "need validation"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused(case, key):
    loss, x, y, options, error, message = case
    with pytest.raises(error, match=message):
        jl.sgd_fit(loss, x, y, **{"key": key, "lr": 0.1, "epochs": 1} | options)


def test_bad_rows_of_weight_zero_are_no_mistake(key):
    weight = np.array([1, 1, 0, 1, 1, 0], np.float32)
    x, y = changed(X, (2, 0), np.nan), changed(LABELS, 5, -1)
    got = jl.sgd_fit(SOFTMAX, x, y, key=key, lr=0.1, weight=weight, batch_size=6)
    kept = weight != 0
    expected = jl.sgd_fit(SOFTMAX, X[kept], LABELS[kept], key=key, lr=0.1, batch_size=6, outputs=2)
    np.testing.assert_allclose(got.params.w, expected.params.w, atol=1e-6)


def test_labels_of_64_bits_on_the_device_do_not_wrap(key, x64):
    y = jnp.asarray(changed(LABELS, 0, 2**40))
    assert y.dtype == jnp.int64
    with pytest.raises(ValueError, match="label 1099511627776"):
        jl.sgd_fit(SOFTMAX, X, y, key=key, lr=0.1)


def test_l2_for_every_output(key):
    fit = jl.sgd_fit(SOFTMAX, X, LABELS, key=key, lr=0.1, l2=np.array([0, 0.5, 9]), epochs=100)
    norms = np.linalg.norm(fit.params.w, axis=1)
    assert norms[0] > norms[1] > norms[2]


def test_under_jit_the_number_of_classes_must_be_told(key):
    import jax

    with pytest.raises(ValueError, match="Pass outputs=k under jit"):
        jax.jit(lambda y: jl.sgd_fit(SOFTMAX, X, y, key=key, lr=0.1))(LABELS)


def test_every_status_has_a_sentence():
    assert all(status.sentence.endswith(".") for status in jl.Status)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_integer_one_hot_vectors_are_distributions(key, dtype):
    fits = [
        jl.sgd_fit(SOFTMAX, X, y, key=key, lr=0.1) for y in (LABELS, np.eye(3, dtype=dtype)[LABELS])
    ]
    np.testing.assert_allclose(fits[0].params.w, fits[1].params.w, rtol=1e-6)

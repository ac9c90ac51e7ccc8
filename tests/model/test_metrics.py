"""Metrics against NumPy, with and without weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import METRICS

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


# ------------------------------------------------------------------ every form of o and y

every_form = pytest.mark.parametrize("case", METRICS, ids=lambda case: case.name)


@every_form
def test_every_form_has_its_value(case):
    """Eager, and, by weights beside rows of weight 0 that hold no number, compiled and mapped."""
    got = case.metric(case.o, case.y)
    assert got.shape == () and got.dtype == jnp.float32
    np.testing.assert_allclose(got, case.each.mean(), rtol=2e-6)

    weight = np.float32(np.arange(len(case.o)) % 4)
    expected = weight @ case.each / weight.sum()
    o, y = single(*(blot(rows, weight == 0) for rows in (case.o, case.y)))
    np.testing.assert_allclose(case.metric(o, y, weight), expected, rtol=2e-6)
    if not jnp.issubdtype(o.dtype, jnp.floating):
        np.testing.assert_allclose(jax.jit(case.metric)(o, y, weight), expected, rtol=2e-6)
        return
    mapped = jax.jit(jax.vmap(jax.value_and_grad(case.metric), (0, None, None)))
    values, slopes = mapped(jnp.stack([o, o]), y, weight)
    np.testing.assert_allclose(values, [expected] * 2, rtol=2e-6)
    assert np.isfinite(slopes).all() and not slopes[:, weight == 0].any()


def blot(rows, absent):
    """The rows with NaN, or what is no label, in those that are absent."""
    rows = np.array(rows)
    rows[absent] = np.nan if rows.dtype.kind == "f" else 99
    return rows


INDEPENDENT = {"independent": True}
REFUSED = {
    # name: (o, y, options, message); under jit NaN
    "label k": (LOGITS, LABELS + 1, {}, r"y\[\d+\] is 4; expected labels 0 … 3"),
    "label -1": (LOGITS, LABELS - 1, {}, r"y\[\d+\] is -1; expected labels 0 … 3"),
    "a label of 1.5": (LOGITS, LABELS * 1.5, {}, r"is (1\.5|4\.5); expected labels 0 … 3"),
    "a label of NaN": (LOGITS, np.where(LABELS, LABELS, np.nan), {}, "is nan; expected labels"),
    "several labels": (LOGITS, (LOGITS > 0) * 1, {}, "independent=True is for rows of several"),
    "no label": (LOGITS, np.zeros((30, 4)), {}, "whose rows sum to 1"),
    "label 2 of one logit": (O[:, 0], LABELS, {}, r"is [23]; expected numbers in \[0, 1\]"),
    "signs": (O[:, 0], np.sign(Y[:, 0]), {}, r"is -1\.0; expected numbers in \[0, 1\]"),
    "2 among several labels": (O, np.full((30, 2), 2), INDEPENDENT, r"y\[0, 0\] is 2; expected"),
}
SHAPES = {
    "rows": (LOGITS, LABELS[:20], {}, r"y has shape \(20,\) beside outputs \(30, 4\)"),
    "columns": (LOGITS, np.ones((30, 3)) / 3, {}, r"y has shape \(30, 3\) beside"),
    "one logit": (O[:, 0], np.ones((30, 2)) / 2, {}, r"y has shape \(30, 2\) beside"),
    "independent": (LOGITS, LABELS, INDEPENDENT, r"y has shape \(30,\) beside"),
    "three axes": (LOGITS[None], LABELS, {}, r"o has shape \(1, 30, 4\)"),
}


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.log_loss])
@pytest.mark.parametrize("name", REFUSED | SHAPES)
def test_targets_that_are_none_are_refused_by_name(metric, name):
    o, y, options, message = (REFUSED | SHAPES)[name]
    with pytest.raises(ValueError, match=message):
        metric(o, y, **options)
    if name in SHAPES:
        return
    compiled = jax.jit(functools.partial(metric, **options))
    assert np.isnan(compiled(*single(o, y)))


def test_labels_are_compared_with_whole_numbers_alone():
    assert metrics.accuracy(np.array([3, 7, 7]), np.array([3.0, 7.0, 3.0])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"y\[1\] is 0.5; expected labels \(2,\), whole numbers"):
        metrics.accuracy(np.array([0, 1]), np.array([0.0, 0.5]))
    assert np.isnan(jax.jit(metrics.accuracy)(jnp.array([0, 1]), jnp.array([0.0, 0.5])))


def test_a_class_that_is_ruled_out_counts_only_where_it_is_the_label():
    o = np.array([[0.0, -np.inf, 1.0], [1.0, -np.inf, 0.0]])
    loss = np.log1p(np.exp(-1.0))
    np.testing.assert_allclose(metrics.log_loss(o, [2, 0]), loss, rtol=1e-6)
    np.testing.assert_allclose(metrics.log_loss(o, np.eye(3)[[2, 0]]), loss, rtol=1e-6)
    assert metrics.log_loss(o, [2, 1]) == np.inf
    assert metrics.log_loss(o, [2, 1], [1, 0]) == pytest.approx(loss)
    assert metrics.accuracy(o, [2, 1]) == 0.5
    logit = np.array([np.inf, -np.inf])
    assert metrics.log_loss(logit, [1, 0]) == 0 and metrics.log_loss(logit, [0, 0]) == np.inf
    assert metrics.accuracy(logit, [1, 0]) == 1 and metrics.accuracy(logit, [0, 0]) == 0.5


def test_outputs_that_decide_for_nothing_are_no_accuracy():
    for o in ([[np.nan, 1.0], [0.0, 1.0]], [[-np.inf, -np.inf], [0.0, 1.0]]):
        assert np.isnan(metrics.accuracy(np.array(o), [1, 1]))
        assert metrics.accuracy(np.array(o), [1, 1], [0, 1]) == 1
    assert np.isnan(metrics.accuracy(np.array([np.nan, 1.0]), [0, 1]))


def test_two_classes_are_one_logit():
    pair, y = np.stack([0 * O[:, 0], O[:, 0]], axis=1), LABELS % 2
    for metric in (metrics.accuracy, metrics.log_loss):
        np.testing.assert_allclose(metric(pair, y), metric(O[:, 0], y), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1000,), (1000, 1)])
@pytest.mark.parametrize("value", [0.1, 1e5 + 0.1, 300])
def test_rounding_makes_no_target_vary(shape, value):
    y = np.full(shape, value, np.float32)
    assert metrics.r2(y, y) == 1 and metrics.r2(y * 1.5, y) == 0
    y[-1], weight = np.nan, np.arange(1000) < 999
    assert metrics.r2(y, y, weight) == 1 and metrics.r2(y * 1.5, y, weight) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32])
def test_r2_of_every_dtype(dtype):
    y, o = np.random.default_rng(2).integers(0, 256, (2, 50, 1)).astype(dtype)
    weight = np.arange(50) % 3
    copies = (np.repeat(a.astype(float), weight, axis=0) for a in (o, y))
    np.testing.assert_allclose(metrics.r2(o, y, weight), r2(*copies), rtol=1e-5)


def test_double_precision(x64):
    o, y = O[:, 0] * 1e-9 + 1e3, Y[:, 0] * 1e-9 + 1e3
    np.testing.assert_allclose(metrics.mse(o, y), ((o - y) ** 2).mean(), rtol=1e-12)
    assert metrics.mse(np.arange(3), np.arange(3)).dtype == jnp.float64
    assert metrics.mse(np.float32(O), np.float32(Y)).dtype == jnp.float32
    assert metrics.log_loss(LOGITS, LABELS).dtype == jnp.float64
    assert metrics.accuracy(LOGITS, LABELS.astype(float)) == (LOGITS.argmax(1) == LABELS).mean()

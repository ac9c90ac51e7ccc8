"""The tables over which the property tests run: every loss, with targets that fit it, and every
form in which outputs and targets come to a metric.
"""

import functools
from typing import NamedTuple

import numpy as np
import oracles
import pytest

from jaxlinear import losses, metrics


def full_but(cases, *kept):
    """The ``cases`` as parameters, of which those that are not ``kept`` run with ``--full``."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.full) for case in cases]


class LossCase(NamedTuple):
    """A loss, its NumPy oracle, and targets y for ``n`` examples of ``k`` outputs (None: one)."""

    name: str
    loss: callable
    oracle: callable
    targets: callable
    outputs: int | None


def _shape(n, k):
    return (n,) if k is None else (n, k)


def real(rng, n, k):
    return rng.normal(size=_shape(n, k))


def probability(rng, n, k):
    return rng.uniform(size=_shape(n, k))


def counts(rng, n, k):
    return rng.poisson(2.0, size=_shape(n, k)).astype(float)


def positive(rng, n, k):
    return rng.gamma(2.0, size=_shape(n, k)) + 0.1


def signs(rng, n, k):
    return rng.choice([-1.0, 1.0], size=_shape(n, k))


def labels(rng, n, k):
    return rng.integers(0, k, size=n).astype(np.int32)


def distributions(rng, n, k):
    return rng.dirichlet(np.ones(k), size=n)


def _case(name, targets, outputs, **options):
    loss, oracle = getattr(losses, name), getattr(oracles, name)
    if options:
        loss, oracle = functools.partial(loss, **options), functools.partial(oracle, **options)
    return LossCase(f"{name}-{outputs or 1}", loss, oracle, targets, outputs)


def _softmax(label, targets, **options):
    loss = functools.partial(losses.softmax_cross_entropy, **options)
    oracle = functools.partial(oracles.softmax_cross_entropy, **options)
    return LossCase(f"softmax-{label}", loss, oracle, targets, 4)


LOSSES = [
    _case("squared_error", real, None),
    _case("squared_error", real, 3),
    _softmax("labels", labels),
    _softmax("distributions", distributions),
    _softmax("smoothed", labels, label_smoothing=0.1),
    _case("logistic", probability, None),
    _case("logistic", probability, 3),
    _case("poisson", counts, 3),
    _case("gamma", positive, None),
    _case("huber", real, 3, delta=0.7),
    _case("absolute", real, None),
    _case("quantile", real, 3, q=0.2),
    _case("smooth_quantile", real, 3, q=0.2, bandwidth=0.5),
    _case("hinge", signs, None),
    _case("squared_hinge", signs, 3),
]


class MetricCase(NamedTuple):
    """A metric with its options, outputs and targets in some form, and the errors of the rows."""

    name: str
    metric: callable
    o: np.ndarray
    y: np.ndarray
    each: np.ndarray


def _classification():
    """Every form of outputs and targets of k classes, of one logit, and of independent labels."""
    rng = np.random.default_rng(0)
    n, k = 12, 3
    scores, labels = rng.normal(size=(n, k)), np.arange(n) % k
    log_p = oracles.log_softmax(scores)
    classes = {
        "int": labels,
        "byte": labels.astype(np.uint8),
        "float": labels.astype(float),
        "column": labels[:, None],
        "one-hot": np.eye(k)[labels],
        "one-hot int": np.eye(k, dtype=int)[labels],
        "one-hot bool": np.eye(k, dtype=bool)[labels],
    }
    for form, y in classes.items():
        right = scores.argmax(axis=1) == labels
        yield MetricCase(f"accuracy-classes-{form}", metrics.accuracy, scores, y, right)
        loss = -log_p[np.arange(n), labels]
        yield MetricCase(f"log_loss-classes-{form}", metrics.log_loss, scores, y, loss)
        decided = scores.argmax(axis=1)
        yield MetricCase(f"accuracy-labels-{form}", metrics.accuracy, decided, y, right)
    soft = rng.dirichlet(np.ones(k), size=n)
    loss, right = -(soft * log_p).sum(axis=1), soft.argmax(axis=1) == scores.argmax(axis=1)
    yield MetricCase("accuracy-distributions", metrics.accuracy, scores, soft, right)
    yield MetricCase("log_loss-distributions", metrics.log_loss, scores, soft, loss)

    def dtypes(y):
        return {"int": y.astype(int), "byte": y.astype(np.uint8), "bool": y, "float": y * 1.0}

    logit, one = scores[:, 0], labels == 1
    loss, right = np.logaddexp(0, logit) - one * logit, (logit > 0) == one
    for form, y in dtypes(one).items():
        for shape, column in {"": (n,), "-column": (n, 1)}.items():
            o = logit.reshape(column)
            for name, each in (("accuracy", right), ("log_loss", loss)):
                metric = getattr(metrics, name)
                yield MetricCase(f"{name}-logit{shape}-{form}", metric, o, y, each)
                column_y = y[:, None]
                yield MetricCase(f"{name}-logit{shape}-{form}-column", metric, o, column_y, each)
    several = rng.normal(size=(n, k)) > 0
    several[:3] = [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    loss = (np.logaddexp(0, scores) - several * scores).mean(axis=1)
    right = ((scores > 0) == several).mean(axis=1)
    for form, y in dtypes(several).items():
        for name, each in (("accuracy", right), ("log_loss", loss)):
            metric = functools.partial(getattr(metrics, name), independent=True)
            yield MetricCase(f"{name}-independent-{form}", metric, scores, y, each)
        metric = functools.partial(metrics.accuracy, independent=True)
        yield MetricCase(f"accuracy-independent-labels-{form}", metric, scores > 0, y, right)


def _numbers():
    """Numbers of every dtype, of which no difference may wrap around or be cut."""
    rng = np.random.default_rng(1)
    byte, other = rng.integers(0, 256, (2, 12)).astype(np.uint8)
    for form, o, y in (
        ("bytes", byte, other),
        ("byte and int", byte, other.astype(int)),
        ("int and fraction", other.astype(int), byte + 0.5),
        ("fraction and byte", byte + 0.5, other),
        ("bool", byte > 99, other > 99),
        ("half", np.float16(byte) * 9, np.float16(other)),
        ("column", byte[:, None] * 1.0, other[:, None]),
    ):
        square = np.square(o.astype(float) - y).reshape(len(o), -1).mean(axis=1)
        yield MetricCase(f"mse-{form}", metrics.mse, o, y, square)


METRICS = [*_classification(), *_numbers()]

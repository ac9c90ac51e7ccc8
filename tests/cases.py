"""The table over which the property tests run: every loss, with targets that fit it."""

import functools
from typing import NamedTuple

import numpy as np
import oracles

from jaxlinear import losses


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

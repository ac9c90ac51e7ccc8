"""Convex fits, each with targets that suit it and the derivatives of its loss, in NumPy."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import oracles

import jaxlinear as jl

Status = jl.Status


class Case(NamedTuple):
    """A fit, its targets, and the derivatives of its loss in the outputs, in NumPy."""

    fit: callable
    targets: callable
    slopes: callable
    outputs: int | None


def labels(rng, o):
    return np.array([rng.choice(o.shape[1], p=p) for p in oracles.softmax(o)])


def softmax_slopes(o, y):
    return oracles.softmax(o) - (oracles.one_hot(y, o.shape[1]) if y.ndim == 1 else y)


def bernoulli(rng, o):
    return (rng.uniform(size=o.shape) < 1 / (1 + np.exp(-o))) * 1.0


def huber_slopes(o, y):
    return np.clip(o - y, -1, 1)


def smooth_absolute(o, y):
    return jnp.sum(jnp.sqrt(1 + jnp.square(o - y)))


CASES = {
    "softmax": Case(jl.softmax_regression, labels, softmax_slopes, 3),
    "softmax-soft": Case(
        jl.softmax_regression, lambda rng, o: oracles.softmax(o + 1), softmax_slopes, 3
    ),
    "logistic": Case(
        jl.logistic_regression, bernoulli, lambda o, y: 1 / (1 + np.exp(-o)) - y, None
    ),
    "logistic-3": Case(jl.logistic_regression, bernoulli, lambda o, y: 1 / (1 + np.exp(-o)) - y, 3),
    "poisson": Case(
        jl.poisson_regression,
        lambda rng, o: rng.poisson(np.exp(o)) * 1.0,
        lambda o, y: np.exp(o) - y,
        None,
    ),
    "gamma": Case(
        functools.partial(jl.glm, jl.losses.gamma),
        lambda rng, o: rng.gamma(2, size=o.shape) * np.exp(o),
        lambda o, y: 1 - y * np.exp(-o),
        None,
    ),
    "huber": Case(
        functools.partial(jl.glm, jl.losses.huber),
        lambda rng, o: o + rng.standard_t(2, size=o.shape),
        huber_slopes,
        2,
    ),
    "quantile": Case(
        functools.partial(jl.glm, functools.partial(jl.losses.smooth_quantile, q=0.8)),
        lambda rng, o: o + rng.normal(size=o.shape),
        lambda o, y: 1 / (1 + np.exp((y - o) / 0.1)) - 0.8,
        None,
    ),
    "own": Case(
        functools.partial(jl.glm, smooth_absolute),
        lambda rng, o: o + rng.normal(size=o.shape),
        lambda o, y: (o - y) / np.sqrt(1 + (o - y) ** 2),
        2,
    ),
}


def problem(name, n=40, d=3, seed=0):
    """x whose columns have means and sizes of their own, y from the model, weights."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) + 1) * [0.1, 1, 10][:d]
    shape = () if CASES[name].outputs is None else (CASES[name].outputs,)
    o = (x / [0.1, 1, 10][:d]) @ rng.normal(size=(d, *shape)) / 2
    return x, CASES[name].targets(rng, o), rng.uniform(0.5, 2, size=n)


def status(fit):
    return [Status(int(code)) for code in np.ravel(fit.report.status)]

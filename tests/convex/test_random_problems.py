"""Ten thousand random problems with means from 1e-8 to 1e8, against Newton in long double."""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest
from cases import full_but

import jaxlinear as jl
from jaxlinear import losses

Status = jl.Status
N, D, CLASSES = 40, 3, 3
QUANTILE = functools.partial(losses.smooth_quantile, q=0.3, bandwidth=0.5)


class Family(NamedTuple):
    """Targets from outputs, and the derivatives of the loss in them, elementwise in NumPy."""

    loss: callable
    targets: callable  # (rng, outputs of mean 0, mean)
    slope: callable
    bend: callable


def _sigmoid(o):
    return np.exp(-np.logaddexp(0, -o))


def _counts(rng, o, mean):
    rate = mean * np.exp(o)
    drawn = rng.poisson(np.minimum(rate, 1e9))
    return np.where(mean > 1, drawn, rate * np.exp(0.3 * rng.normal(size=o.shape))) + mean / 20


def _shares(rng, o, mean):
    return _sigmoid(o + np.log(np.minimum(mean, 1 / mean)) + 0.3 * rng.normal(size=o.shape))


def _real(rng, o, mean):
    return np.minimum(mean, 30) * (1 + o + rng.normal(size=o.shape))


def _signs(rng, o, mean):
    return np.where(o + 2 * rng.normal(size=o.shape) > 0, 1.0, -1.0)


FAMILIES = {
    "poisson": Family(losses.poisson, _counts, lambda o, y: np.exp(o) - y, lambda o, y: np.exp(o)),
    "gamma": Family(
        losses.gamma,
        lambda rng, o, mean: mean * np.exp(o) * (rng.gamma(2.0, size=o.shape) + 1e-2),
        lambda o, y: 1 - y * np.exp(-o),
        lambda o, y: y * np.exp(-o),
    ),
    "logistic": Family(
        losses.logistic,
        _shares,
        lambda o, y: _sigmoid(o) - y,
        lambda o, y: _sigmoid(o) * _sigmoid(-o),
    ),
    "squares": Family(losses.squared_error, _real, lambda o, y: o - y, lambda o, y: 1 + 0 * o),
    "huber": Family(
        losses.huber,
        _real,
        lambda o, y: np.clip(o - y, -1, 1),
        lambda o, y: (np.abs(o - y) < 1) * 1.0,
    ),
    "quantile": Family(
        QUANTILE,
        _real,
        lambda o, y: _sigmoid((o - y) / 0.5) - 0.3,
        lambda o, y: 2 * _sigmoid((o - y) / 0.5) * _sigmoid((y - o) / 0.5),
    ),
    "squared_hinge": Family(
        losses.squared_hinge,
        _signs,
        lambda o, y: -2 * y * np.maximum(0, 1 - y * o),
        lambda o, y: 2.0 * (1 - y * o > 0),
    ),
}


def problems(family, count, seed=0):
    """Targets of one output, with means from 1e-8 to 1e8."""
    rng = np.random.default_rng(seed)
    mean = 10.0 ** rng.uniform(-8, 8, size=(count, 1))
    plain = rng.normal(size=(count, N, D))
    o = np.einsum("cnd,cd->cn", plain, rng.normal(size=(count, D)) * rng.choice([0.1, 0.5, 1]))
    y = family.targets(rng, o, mean)
    return _arranged(rng, plain, y)


def distributions(count, least, seed=0):
    """Targets over classes, of which one may have a share of ``least``."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(count, N, D))
    w = rng.normal(size=(count, CLASSES, D)) * rng.choice([0.1, 0.5, 1])
    o = np.einsum("cnd,ckd->cnk", plain, w) + 0.3 * rng.normal(size=(count, N, CLASSES))
    o[..., 0] += np.log(least) * rng.uniform(size=(count, 1))
    return _arranged(rng, plain, _softmax(o))


def _softmax(o):
    p = np.exp(o - o.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def _arranged(rng, plain, y):
    """Columns of other units and offsets; every number one of float32."""
    count = len(plain)
    x = plain * 10.0 ** rng.uniform(-3, 3, size=(count, 1, D))
    x += np.abs(x).max(axis=1, keepdims=True) * rng.choice([0, 1, -3], size=(count, 1, D))
    weight = rng.uniform(0.5, 2, size=(count, N))
    return (np.float32(leaf) for leaf in (x, y, weight))


def distance(family, fits, x, y, weight):
    """How far Newton's steps in long double still move an output, by its own coordinates."""
    x, y, share, z = _in_long_double(x, y, weight)
    w, b = (np.asarray(leaf, np.longdouble) for leaf in fits.params)
    o = start = np.einsum("cnd,cd->cn", x, w) + b[:, None]
    for _ in range(3):
        gradient = np.einsum("cn,cnp->cp", share * family.slope(o, y), z)
        hessian = np.einsum("cn,cnp,cnq->cpq", share * family.bend(o, y), z, z)
        o = o - np.einsum("cnp,cp->cn", z, _solved(hessian, gradient))
    return np.asarray(np.abs(o - start).max(axis=1), float)


def distance_of_softmax(fits, x, y, weight):
    """``distance``, of outputs less that of the last class: what all share has no curvature."""
    x, y, share, z = _in_long_double(x, y, weight)
    w, b = (np.asarray(leaf, np.longdouble) for leaf in fits.params)
    o = np.einsum("cnd,ckd->cnk", x, w) + b[:, None]
    start = o - o[..., -1:]
    o = start.copy()
    one = np.eye(CLASSES - 1)
    for _ in range(3):
        p = _softmax(o)[..., :-1]
        gradient = np.einsum("cnk,cnp->ckp", share[..., None] * (p - y[..., :-1]), z)
        bend = p[..., None] * (one - p[..., None, :])
        hessian = np.einsum("cnkl,cnp,cnq->ckplq", share[..., None, None] * bend, z, z)
        size = gradient[0].size
        step = _solved(hessian.reshape(-1, size, size), gradient.reshape(-1, size))
        o[..., :-1] = o[..., :-1] - np.einsum("cnp,ckp->cnk", z, step.reshape(gradient.shape))
    return np.asarray(np.abs(o - start).max(axis=(1, 2)), float)


def _in_long_double(x, y, weight):
    """Also the weights as shares, and the columns at their own size, with one of ones."""
    x, y, share = (np.asarray(leaf, np.longdouble) for leaf in (x, y, weight))
    share = share / share.sum(axis=1, keepdims=True)
    z = x - np.einsum("cn,cnd->cd", share, x)[:, None]
    z = np.concatenate([z / np.abs(z).max(axis=1, keepdims=True), np.ones_like(z[..., :1])], axis=2)
    return x, y, share, z


def _solved(matrix, side):
    """Gauss-Jordan elimination of positive definite matrices, which NumPy has in double alone."""
    scale = 1 / np.sqrt(np.einsum("cpp->cp", matrix))
    rows = np.concatenate(
        [matrix * scale[:, :, None] * scale[:, None], (side * scale)[..., None]], 2
    )
    for i in range(rows.shape[1]):
        pivot = rows[:, i] / rows[:, i, i, None]
        rows = rows - rows[:, :, i, None] * pivot[:, None]
        rows[:, i] = pivot
    return rows[..., -1] * scale


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("name", full_but([*FAMILIES, "softmax"], "poisson"))
def test_all_arrive_at_the_optimum(name, wide):
    softmax = name == "softmax"
    loss = losses.softmax_cross_entropy if softmax else FAMILIES[name].loss
    # In float32 what is left of the slopes of the others is more than all of a rarer class.
    least = 1e-8 if wide else 1e-5
    x, y, weight = distributions(720, least) if softmax else problems(FAMILIES[name], 720)
    with jax.enable_x64(wide):
        x, y, weight = (leaf.astype(float if wide else np.float32) for leaf in (x, y, weight))
        if softmax:
            y = y / y.sum(axis=-1, keepdims=True)

        def fit(x, y, weight):
            return jl.glm(loss, x, y, weight=weight)

        together = jax.jit(jax.vmap(fit))(x, y, weight)
        alone = [fit(x[i], y[i], weight[i]) for i in range(12)]
    assert (np.asarray(together.report.status) == Status.CONVERGED).all()
    assert all(one.report.status == Status.CONVERGED for one in alone)
    # In float32 an output of 18 is rounded by 1e-6, and a flat loss leaves the root of that.
    outputs = np.einsum("cnd,c...d->cn...", x, together.params.w).reshape(len(x), -1)
    size = 1 + np.abs(outputs).max(axis=1)
    size += np.abs(np.asarray(together.params.b, float)).reshape(len(x), -1).max(axis=1)
    away = distance_of_softmax if softmax else functools.partial(distance, FAMILIES[name])
    away = away(together, x, y, weight) / size
    # What is known of a class is what is left of the rounding of 1, beside its share.
    most = (1e-12 if wide else 1e-4) if not softmax else (1e-9 if wide else 1e-3)
    assert np.quantile(away, 0.99) < most
    assert away.max() < (1e-7 if wide else 1e-2)

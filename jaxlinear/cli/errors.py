"""How far coefficients and predictions may be off: errors of the optimum, in NumPy's float64.

The covariance of the parameters θ at the optimum of Σ w_i l_i(θ) / Σ w_i + l2/2 ‖w‖² is the
sandwich H⁻¹ (Σ s_i s_iᵀ) H⁻¹, with H the Hessian of the objective and s_i the share of an example,
or of a group of them, in its gradient (Huber, 1967; White, 1980). It tells how the optimum differs
from sample to sample, not how far a penalty draws it towards 0.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.cli.losses import LOSSES
from jaxlinear.cli.task import Part
from jaxlinear.model.declaration import is_kinked

_MOST = 2000  # parameters of all outputs
_ROWS = 65536  # at a time
Z = 1.959963984540054  # 95 % of a normal variable are within so many deviations


class Errors(NamedTuple):
    """The covariance (p, p) of the parameters, for every output its w and then its b.

    ``noise`` is the variance of a number around its mean, None of other losses than squares.
    """

    covariance: np.ndarray
    noise: float | None


def at_optimum(loss: str, params: jl.Linear, part: Part, l2) -> Errors | None:
    """The errors of an optimum; None where there are too many parameters, or kinks."""
    w = np.atleast_2d(params.w)
    k, d = w.shape
    if is_kinked(LOSSES[loss]) or k * (d + 1) > _MOST or part.x.dtype == np.uint8:
        return None
    share = np.ones(len(part.x)) if part.weight is None else np.asarray(part.weight, np.float64)
    share = share / share.sum()
    bends = np.diag(
        np.tile(np.append(np.ones(d), 0.0), k) * np.repeat(np.broadcast_to(l2, k), d + 1)
    )
    middle = np.zeros_like(bends)
    groups = None if part.group is None else np.zeros((part.group.max() + 1, k * (d + 1)))
    for start in range(0, len(part.x), _ROWS):
        rows = slice(start, start + _ROWS)
        x, gradient, hessian = _derivatives(loss, params, part, rows)
        bends += _pairs(x, hessian * share[rows, None, None])
        gradient = gradient * share[rows, None]
        if groups is None:
            middle += _pairs(x, gradient[:, :, None] * gradient[:, None, :])
        else:
            each = (gradient[:, :, None] * x[:, None, :]).reshape(len(x), -1)
            np.add.at(groups, part.group[rows], each)
    middle = middle if groups is None else groups.T @ groups
    count = np.count_nonzero(share) if groups is None else len(groups)
    inverse = np.linalg.pinv(bends, hermitian=True)
    covariance = inverse @ middle @ inverse * (count / max(count - 1, 1))
    return Errors(covariance, _noise(loss, params, part, share))


def intervals(params: jl.Linear, errors: Errors) -> tuple[jl.Linear, jl.Linear]:
    """95 % intervals of the parameters, low and high."""
    w = np.atleast_2d(np.asarray(params.w, np.float64))
    away = Z * np.sqrt(np.maximum(np.diag(errors.covariance), 0)).reshape(len(w), -1)
    away = jl.Linear(away[:, :-1].reshape(params.w.shape), away[:, -1].reshape(params.b.shape))
    return tuple(
        jl.Linear(params.w + sign * away.w, params.b + sign * away.b) for sign in (-1.0, 1.0)
    )


def of_outputs(errors: Errors, x: np.ndarray, outputs: int) -> np.ndarray:
    """The deviation (n, k) of the outputs of rows x (n, d)."""
    x = np.column_stack([np.asarray(x, np.float64), np.ones(len(x))])
    p = x.shape[1]
    blocks = [errors.covariance[i * p : i * p + p, i * p : i * p + p] for i in range(outputs)]
    return np.stack([np.sqrt(np.maximum((x @ block * x).sum(1), 0)) for block in blocks], axis=1)


def rescaled(errors: Errors, shift, scale, outputs: int) -> Errors:
    """The errors of parameters of x, from those of (x − shift) / scale."""
    d = len(errors.covariance) // outputs - 1
    shift, scale = np.broadcast_to(shift, d), np.broadcast_to(scale, d)
    per = np.divide(1.0, scale, out=np.zeros(d), where=scale != 0)
    one = np.diag(np.append(per, 1.0))
    one[-1, :-1] = -shift * per  # b of x is b − Σ w shift / scale
    change = np.kron(np.eye(outputs), one)
    return errors._replace(covariance=change @ errors.covariance @ change.T)


def expressed(errors: Errors, shift, scale, outputs: int) -> Errors:
    """The errors of parameters of (x − shift) / scale, from those of x."""
    d = len(errors.covariance) // outputs - 1
    one = np.diag(np.append(np.broadcast_to(scale, d), 1.0))
    one[-1, :-1] = shift
    change = np.kron(np.eye(outputs), one)
    return errors._replace(covariance=change @ errors.covariance @ change.T)


def _derivatives(loss: str, params: jl.Linear, part: Part, rows: slice):
    """x with a column of ones, and the first (n, k) and second (n, k, k) derivatives of losses."""
    x = np.column_stack([np.asarray(part.x[rows], np.float64), np.ones(len(part.x[rows]))])
    w, b = (np.asarray(each, np.float64) for each in params)
    o = x[:, :-1] @ w.T + b
    if part.offset is not None:
        o = o + part.offset[rows].reshape(-1, *[1] * (o.ndim - 1))
    k = max(1, o.shape[-1]) if o.ndim == 2 else 1
    with jax.enable_x64(True):
        gradient, hessian = _first_and_second(loss)(o, part.y[rows])
    return x, np.asarray(gradient).reshape(-1, k), np.asarray(hessian).reshape(-1, k, k)


@functools.cache  # one program for one loss
def _first_and_second(loss: str):
    """The derivatives of the loss of every row, summed over outputs where it has one for each."""

    def of_one(o, y):
        return LOSSES[loss](o, y).sum()

    return jax.jit(
        lambda o, y: (jax.vmap(jax.grad(of_one))(o, y), jax.vmap(jax.hessian(of_one))(o, y))
    )


def _pairs(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Σ_i factors_i ⊗ x_i x_iᵀ (k p, k p), of factors (n, k, k), symmetric, and x (n, p)."""
    k, p = factors.shape[1], x.shape[1]
    total = np.empty((k, p, k, p))
    for i in range(k):
        for j in range(i + 1):
            total[i, :, j] = x.T @ (x * factors[:, i, j, None])
            total[j, :, i] = total[i, :, j].T
    return total.reshape(k * p, k * p)


def _noise(loss: str, params: jl.Linear, part: Part, share: np.ndarray) -> float | None:
    if loss != "squared_error" or np.ndim(part.y) != 1:
        return None
    o = np.asarray(part.x, np.float64) @ np.asarray(params.w, np.float64) + float(params.b)
    free = max(np.count_nonzero(share) - part.x.shape[1] - 1, 1)
    return float((share * (part.y - o) ** 2).sum() * np.count_nonzero(share) / free)

"""Inference for least squares: standard errors, covariances, R² and leverages."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear import checks
from jaxlinear.convex import columns
from jaxlinear.endings import shaped
from jaxlinear.exact import statistics, tall, units
from jaxlinear.inference import robust
from jaxlinear.inference.optimum import NEAR, nan_unless, parted, rounding
from jaxlinear.inference.robust import Errors
from jaxlinear.linalg import double
from jaxlinear.linalg.products import matmul
from jaxlinear.rows.absent import ones_or, power_of_two, readable
from jaxlinear.rows.means import away_from
from jaxlinear.types import Batch, Fit, Linear


class Inference(NamedTuple):
    """Inference for a least-squares fit with p coefficients, b included.

    ``standard_error`` has the shape of the parameters, ``variance`` = Σ w r² / (n − p) is the
    residual variance of every target, ``degrees_of_freedom`` = n − p with n the examples of weight
    > 0 and p the rank; with clusters one less than their number. ``r2`` is 1 − Σ w r² / Σ w (y −
    ȳ)², with 0 for ȳ where there is no intercept. ``leverage`` is the diagonal of the hat matrix;
    it sums to p.
    """

    standard_error: Linear
    variance: Float[Array, "*k"]
    degrees_of_freedom: Float[Array, ""]
    r2: Float[Array, "*k"]
    leverage: Float[Array, " n"]


def of_least_squares(
    params: Linear | Fit,
    x,
    y,
    *,
    weight=None,
    intercept: bool = True,
    errors: Errors = "classical",
) -> Inference:
    """Inference for ``least_squares(x, y, …)``, from its ``Fit`` or from ``params`` alone.

    Var(w) = σ² (Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ)⁻¹, with independent errors of variance σ² / w_i:
    weights are precisions, known up to a factor, and leave n − p degrees of freedom whatever their
    sum. (In ``of_glm`` they count copies.) Standard errors are NaN where the parameters are not at
    the optimum: where the status of the fit says so, or where a Newton step would move them by
    more than a tenth of their errors and by more than rounding does, as after ``ridge``. The
    residuals are summed in twice the precision. Where x is rank deficient, coefficients are those
    of minimum norm and their standard errors leave out the directions that are undetermined.

    ``errors`` may be "hc0", "hc1", "hc2" or "hc3", where the variance differs among examples
    (White, 1980; MacKinnon and White, 1985), ``Clusters(names)`` or ``NeweyWest(lags)``, where
    examples depend on each other. "hc2" and "hc3" are NaN where an example has leverage 1. Test
    with ``log_p.t(fit.params.w / told.standard_error.w, told.degrees_of_freedom)``.

    R's ``summary(lm)``, ``hatvalues`` and ``vcovHC``, statsmodels' ``OLS`` and ``WLS`` with their
    ``cov_type``. Raises ValueError where n − p < 1, and for arguments that ``least_squares``
    refuses. Not differentiable.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> y = jnp.array([1.0, 2.0, 2.0, 3.0])
    >>> fit = jl.least_squares(x, y)
    >>> print(of_least_squares(fit, x, y).standard_error.w.round(4))
    [0.1414]
    >>> print(of_least_squares(fit, x, y, errors="hc0").standard_error.w.round(4))
    [0.06]
    """
    return jax.lax.stop_gradient(_of(*_checked(params, x, y, weight, intercept, errors)))


def covariance(
    params: Linear | Fit,
    x,
    y,
    *,
    weight=None,
    intercept: bool = True,
    errors: Errors = "classical",
) -> Float[Array, "*outputs p p"]:
    """The covariance of (w, b) of each target, in this order; without an intercept that of w.

    Its diagonal is the square of the standard errors of ``of_least_squares``, which see for the
    arguments and for where it is NaN; ``wald`` tests contrasts with it. R's ``vcov`` and
    ``vcovHC``, statsmodels' ``cov_params()``, in which b is first. Not differentiable.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> y = jnp.array([1.0, 2.0, 2.0, 3.0])
    >>> print(covariance(jl.least_squares(x, y), x, y).round(3))
    [[ 0.02 -0.05]
     [-0.05  0.15]]
    """
    return jax.lax.stop_gradient(_covariance(*_checked(params, x, y, weight, intercept, errors)))


def _checked(params, x, y, weight, intercept: bool, errors: Errors) -> tuple:
    """The arguments of a compiled function, of which the first two are static."""
    batch, outputs, _ = checks.examples(x, y, weight, "real")
    n, d = batch.x.shape
    kind, cluster = robust.checked(errors, n)
    if batch.weight is not None and checks.is_known(batch.weight):
        n = int(jnp.sum(batch.weight != 0))
    if n <= d + intercept:
        raise ValueError(
            f"x has shape {batch.x.shape} and {n} examples of weight > 0; expected more examples "
            f"than the {d + intercept} coefficients."
        )
    params, ended = parted(params)
    if params.w.shape != (*outputs, d):
        raise ValueError(f"params have w {params.w.shape}; expected {(*outputs, d)}.")
    return kind, bool(intercept), batch, params, ended, cluster


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of(kind: robust.Kind, intercept: bool, batch: Batch, params: Linear, ended, cluster):
    parts = _parts(intercept, batch, params, ended, cluster)
    fitted, outputs = parts.fitted, batch.y.shape[1:]
    squares = _covariance_of(kind, parts, *[jnp.arange(len(parts.root))] * 2)
    errors = (jnp.sqrt(squares) * parts.unit[:, None]).T
    errors = nan_unless(parts.sound, shaped(Linear(errors[:, :-1], errors[:, -1]), outputs))
    variance = parts.variance
    if batch.weight is not None:  # σ² is that of an example of weight 1
        variance = variance * power_of_two(jnp.max(batch.weight))
    variance = variance * parts.unit[-1] * parts.unit[-1]
    freedom = robust.degrees_of_freedom(kind, fitted)
    r2 = parts.r2.reshape(outputs)
    return Inference(errors, variance.reshape(outputs), freedom, r2, fitted.leverage)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _covariance(kind: robust.Kind, intercept: bool, batch: Batch, params: Linear, ended, cluster):
    parts = _parts(intercept, batch, params, ended, cluster)
    p = len(parts.root) - (not intercept)
    row, column = jnp.divmod(jnp.arange(p * p), p)
    unit = parts.unit[row] * parts.unit[column]
    pairs = _covariance_of(kind, parts, row, column) * unit[:, None]
    matrices = pairs.T.reshape(*batch.y.shape[1:], p, p)
    return jnp.where(parts.sound[..., None, None], matrices, jnp.nan)


class _Parts(NamedTuple):
    """What all errors are made of, with (XᵀWX)⁻¹ = root rootᵀ.

    The rows of ``root`` are the coefficients, w before b, and those of ``directions`` are
    w_i rootᵀ x_i: their product has the columns of (XᵀWX)⁻¹ XᵀW. All are in units; ``unit`` has
    those of the coefficients, the last of which is that of the targets.
    """

    root: Float[Array, "p r"]
    directions: Float[Array, "n r"]
    fitted: robust.Fitted
    variance: Float[Array, " k"]
    r2: Float[Array, " k"]
    sound: Bool[Array, "*k"]
    unit: Float[Array, " p"]


def _covariance_of(kind: robust.Kind, parts: _Parts, row, column) -> Float[Array, "q k"]:
    """Of the pairs of coefficients ``row`` and ``column``, for every target."""
    if kind.name == "classical":
        products = jnp.sum(parts.root[row] * parts.root[column], axis=1)
        return products[:, None] * parts.variance[None]
    influence = matmul(parts.directions, parts.root.T)
    return robust.covariance(kind, influence[:, row], influence[:, column], parts.fitted)


def _parts(intercept: bool, batch: Batch, params: Linear, ended, cluster) -> _Parts:
    examples = units.counted(batch, intercept, 0.0, common=False)
    unit = examples.units
    gram = statistics.of_batch(examples)
    gram = gram if intercept else statistics.uncentred(gram)
    inverse = tall.factor_of(examples, gram, jnp.zeros_like(gram.mean_x))
    rows = columns.rows(params)
    rows = Linear(rows.w * (unit.x / unit.y)[None], rows.b / unit.y)
    zero = jax.tree.map(jnp.zeros_like, rows)
    normal = double.normal(examples, rows, zero, gram.mean_x)
    freedom = gram.count - inverse.rank - intercept
    variance = normal.squares / jnp.where(freedom > 0, freedom, jnp.nan)

    weight = jnp.ones((), variance.dtype) if batch.weight is None else examples.weight
    numbers = readable(examples)
    away = away_from(numbers, "x", gram.mean_x)
    scores = matmul(away, inverse.vectors)
    leverage = statistics.leverage(gram, weight, jnp.sum(jnp.square(scores), axis=1), intercept)
    step, of_mean = matmul(inverse.vectors.T, normal.w.T), intercept * normal.b / gram.weight
    distance = jnp.sum(jnp.square(step), axis=0) + gram.weight * jnp.square(of_mean)
    moved = jnp.max(jnp.abs(matmul(scores, step) + of_mean[None]), axis=0)
    present = away_from(examples, "x", jnp.zeros_like(gram.mean_x))
    size = jnp.abs(rows.b) + matmul(jnp.abs(rows.w), jnp.max(jnp.abs(present), axis=0))
    near = (distance <= jnp.square(NEAR) * variance) | (moved <= rounding(size))

    # Around the means, where they lose no digits.
    residual = away_from(numbers, "y", gram.mean_y) - matmul(away, rows.w.T)
    residual = residual + (of_mean if intercept else -rows.b)[None]
    ones = jnp.full((len(scores), 1), intercept / jnp.sqrt(gram.weight))
    mean = jnp.concatenate([-intercept * matmul(gram.mean_x, inverse.vectors), ones[0]])
    return _Parts(
        jnp.concatenate([jnp.pad(inverse.vectors, ((0, 0), (0, 1))), mean[None]]),
        jnp.reshape(weight, (-1, 1)) * jnp.concatenate([scores, ones], axis=1),
        robust.Fitted(
            ones_or(batch.weight, len(scores), scores.dtype) != 0,
            residual,
            leverage,
            gram.count,
            freedom,
            cluster,
        ),
        variance,
        1 - normal.squares / jnp.where(gram.yy == 0, jnp.nan, gram.yy),
        ended & near.reshape(batch.y.shape[1:]),
        jnp.append(unit.y / unit.x, unit.y),
    )

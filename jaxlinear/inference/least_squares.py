"""Classical inference for least squares: standard errors, R² and leverages."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.convex import columns
from jaxlinear.endings import shaped
from jaxlinear.exact import statistics, tall, units
from jaxlinear.inference.optimum import NEAR, nan_unless, parted, rounding
from jaxlinear.linalg import double
from jaxlinear.linalg.products import matmul
from jaxlinear.rows.absent import power_of_two, readable
from jaxlinear.rows.means import away_from
from jaxlinear.types import Batch, Fit, Linear


class Inference(NamedTuple):
    """Classical inference for a least-squares fit with p coefficients, b included.

    ``standard_error`` has the shape of the parameters, ``variance`` = Σ w r² / (n − p) is the
    residual variance of every target, ``degrees_of_freedom`` = n − p with n the examples of weight
    > 0 and p the rank. ``r2`` is 1 − Σ w r² / Σ w (y − ȳ)², with 0 for ȳ where there is no
    intercept. ``leverage`` is the diagonal of the hat matrix; it sums to p.
    """

    standard_error: Linear
    variance: Float[Array, "*k"]
    degrees_of_freedom: Float[Array, ""]
    r2: Float[Array, "*k"]
    leverage: Float[Array, " n"]


def of_least_squares(
    params: Linear | Fit, x, y, *, weight=None, intercept: bool = True
) -> Inference:
    """Inference for ``least_squares(x, y, …)``, from its ``Fit`` or from ``params`` alone.

    Var(w) = σ² (Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ)⁻¹, with independent errors of variance σ² / w_i:
    weights are precisions, known up to a factor, and leave n − p degrees of freedom whatever their
    sum. (In ``of_glm`` they count copies.) Standard errors are NaN where the parameters are not at
    the optimum: where the status of the fit says so, or where a Newton step would move them by
    more than a tenth of their errors and by more than rounding does, as after ``ridge``. The
    residuals are summed in twice the precision. Where x is rank deficient, coefficients are those
    of minimum norm and their standard errors leave out the directions that are undetermined.

    R's ``summary(lm)`` and ``hatvalues``, statsmodels' ``OLS`` and ``WLS``. Raises ValueError where
    n − p < 1, and for arguments that ``least_squares`` refuses. Not differentiable.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> y = jnp.array([1.0, 2.0, 2.0, 3.0])
    >>> print(of_least_squares(jl.least_squares(x, y).params, x, y).standard_error.w.round(4))
    [0.1414]
    """
    batch, outputs, _ = checks.examples(x, y, weight, "real")
    n, d = batch.x.shape
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
    return jax.lax.stop_gradient(_of(batch, params, ended, intercept=bool(intercept)))


@functools.partial(jax.jit, static_argnames="intercept")
def _of(batch: Batch, params: Linear, ended, *, intercept: bool) -> Inference:
    examples = units.counted(batch, intercept, 0.0, common=False)
    unit = examples.units
    gram = statistics.of_batch(examples)
    gram = gram if intercept else statistics.uncentred(gram)
    inverse = tall.factor_of(examples, gram, jnp.zeros_like(gram.mean_x))
    root = inverse.vectors
    rows = columns.rows(params)
    rows = Linear(rows.w * (unit.x / unit.y)[None], rows.b / unit.y)
    zero = jax.tree.map(jnp.zeros_like, rows)
    normal = double.normal(examples, rows, zero, gram.mean_x)
    squares = normal.squares
    freedom = gram.count - inverse.rank - intercept
    variance = squares / jnp.where(freedom > 0, freedom, jnp.nan)
    of_w = jnp.sum(jnp.square(root), axis=1)
    of_b = intercept / gram.weight + jnp.sum(jnp.square(matmul(gram.mean_x, root)))
    spread = variance[:, None] * of_w[None]
    errors = Linear(jnp.sqrt(spread) * (unit.y / unit.x)[None], jnp.sqrt(variance * of_b) * unit.y)
    weight = jnp.ones((), root.dtype) if batch.weight is None else examples.weight
    scores = matmul(away_from(readable(examples), "x", gram.mean_x), root)
    spread = jnp.sum(jnp.square(scores), axis=1)
    leverage = statistics.leverage(gram, weight, spread, intercept)
    step, of_mean = matmul(root.T, normal.w.T), intercept * normal.b / gram.weight
    distance = jnp.sum(jnp.square(step), axis=0) + gram.weight * jnp.square(of_mean)
    moved = jnp.max(jnp.abs(matmul(scores, step) + of_mean[None]), axis=0)
    present = away_from(examples, "x", jnp.zeros_like(gram.mean_x))
    size = jnp.abs(rows.b) + matmul(jnp.abs(rows.w), jnp.max(jnp.abs(present), axis=0))
    near = distance <= jnp.square(NEAR) * variance
    outputs = batch.y.shape[1:]
    ended = ended & (near | (moved <= rounding(size))).reshape(outputs)
    errors = nan_unless(ended, shaped(errors, outputs))
    r2 = 1 - squares / jnp.where(gram.yy == 0, jnp.nan, gram.yy)
    if batch.weight is not None:  # σ² is that of an example of weight 1
        variance = variance * power_of_two(jnp.max(batch.weight))
    variance = variance * unit.y * unit.y
    return Inference(errors, variance.reshape(outputs), freedom, r2.reshape(outputs), leverage)

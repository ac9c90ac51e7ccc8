"""What a fit of least squares tells beyond its coefficients: standard errors, R², leverages."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear import _checks, exact, gram, residual
from jaxlinear.factor import matmul
from jaxlinear.types import Batch, Linear


class Inference(NamedTuple):
    """The classical theory of a least-squares fit with p coefficients, b included.

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


def of_least_squares(params: Linear, x, y, *, weight=None, intercept: bool = True) -> Inference:
    """The inference of ``least_squares(x, y, …)``, whose ``params`` these are.

    Var(w) = σ² (Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ)⁻¹, with independent errors of variance σ² / w_i.
    The residuals are summed in twice the precision. Where x is rank deficient, coefficients are
    those of the minimum norm and their standard errors leave out what is undetermined.

    R's ``summary(lm)`` and ``hatvalues``, statsmodels' ``OLS`` and ``WLS``. Raises ValueError where
    n − p < 1, and for what ``least_squares`` refuses. Not differentiable.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> y = jnp.array([1.0, 2.0, 2.0, 3.0])
    >>> print(of_least_squares(exact.least_squares(x, y).params, x, y).standard_error.w.round(4))
    [0.1414]
    """
    batch, outputs, _ = _checks.examples(x, y, weight, "real")
    n, d = batch.x.shape
    if batch.weight is not None and not _checks.is_traced(batch.weight):
        n = int(jnp.sum(batch.weight != 0))
    if n <= d + intercept:
        raise ValueError(
            f"x has shape {batch.x.shape} and {n} examples of weight > 0; expected more examples "
            f"than the {d + intercept} coefficients."
        )
    if params.w.shape != (*outputs, d):
        raise ValueError(f"params have w {params.w.shape}; expected {(*outputs, d)}.")
    return jax.lax.stop_gradient(_of(batch, params, intercept=bool(intercept)))


@functools.partial(jax.jit, static_argnames="intercept")
def _of(batch: Batch, params: Linear, *, intercept: bool) -> Inference:
    made = gram.of_batch(batch)
    made = made if intercept else gram.uncentred(made)
    inverse = exact.factor_of(batch, made, jnp.zeros_like(made.weight))
    root = inverse.vectors
    d = len(root)
    rows = Linear(params.w.reshape(-1, d), params.b.reshape(-1))
    sides = batch._replace(y=batch.y.reshape(len(batch.y), -1))
    zero = jax.tree.map(jnp.zeros_like, rows)
    squares = residual.normal(sides, rows, zero, made.mean_x).squares.reshape(made.yy.shape)
    freedom = made.count - inverse.rank - intercept
    variance = squares / jnp.where(freedom > 0, freedom, jnp.nan)
    of_w = jnp.sum(jnp.square(root), axis=1)
    of_b = intercept / made.weight + jnp.sum(jnp.square(matmul(made.mean_x, root)))
    spread = variance[..., None] * of_w.reshape(*[1] * variance.ndim, -1)
    errors = Linear(jnp.sqrt(spread), jnp.sqrt(variance * of_b))
    weight = jnp.ones(len(batch.x), root.dtype) if batch.weight is None else batch.weight
    scores = matmul(gram.away_from(batch, "x", made.mean_x), root)
    leverage = weight * (jnp.sum(jnp.square(scores), axis=1) + intercept / made.weight)
    r2 = 1 - squares / jnp.where(made.yy == 0, jnp.nan, made.yy)
    return Inference(errors, variance, freedom, r2, leverage)

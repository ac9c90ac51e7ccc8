"""Wald's test of linear contrasts of the coefficients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks
from jaxlinear.inference import log_p
from jaxlinear.linalg import factor
from jaxlinear.linalg.products import matmul
from jaxlinear.types import Fit, Linear


class Wald(NamedTuple):
    """``f`` and ``log_p`` of each target: F(q, df) of q contrasts, with χ²(q) = q ``f``."""

    f: Float[Array, "*outputs"]
    log_p: Float[Array, "*outputs"]


def wald(
    params: Linear | Fit,
    covariance: Shaped[ArrayLike, "*outputs p p"],
    contrast: Shaped[ArrayLike, "..."] | list,
    value: Shaped[ArrayLike, "..."] | list | float | int = 0,
    *,
    df=np.inf,
) -> Wald:
    """The test of C θ = v, with θ = (w, b) in this order, or w alone where p = d.

    F = (C θ − v)ᵀ (C V Cᵀ)⁻¹ (C θ − v) / q, with the ``covariance`` V, the ``contrast`` C of shape
    (q, p), or (p,) for one, and the ``value`` v of shape (q,) or a number. ``df`` are the degrees
    of freedom of V: those of ``of_least_squares``, or inf for the χ² test of maximum likelihood.
    For q = 1, F is t². F is NaN where contrasts depend on each other, or V is singular for them,
    or NaN. Raises ValueError for shapes that do not match.

    R's ``car::linearHypothesis`` and ``lmtest::waldtest``, statsmodels' ``f_test`` and
    ``wald_test``, whose coefficients start with b.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> y = jnp.array([1.0, 2.0, 2.0, 3.0])
    >>> fit = jl.least_squares(x, y)
    >>> of_slope = wald(fit, jl.inference.covariance(fit, x, y), [1.0, 0.0], df=2)
    >>> print(f"{of_slope.f:.2f} {jnp.exp(of_slope.log_p):.4f}")  # t = 0.6 / 0.1414
    18.00 0.0513
    """
    w, b = map(jnp.asarray, params.params if isinstance(params, Fit) else params)
    covariance, contrast, value = (
        jnp.asarray(checks.numeric(part, name), w.dtype)
        for part, name in (
            (covariance, "covariance"),
            (contrast, "contrast"),
            (value, "value"),
        )
    )
    p, d = covariance.shape[-1], w.shape[-1]
    if p not in (d, d + 1) or covariance.shape[:-2] != b.shape:
        raise ValueError(
            f"covariance has shape {covariance.shape}, and w {w.shape}; expected "
            f"{(*b.shape, d + 1, d + 1)}, or {(*b.shape, d, d)} without an intercept."
        )
    rows = contrast[None] if contrast.ndim == 1 else contrast
    if rows.ndim != 2 or rows.shape[1] != p or not len(rows):
        raise ValueError(f"contrast has shape {contrast.shape}; expected (q, {p}) or ({p},).")
    if value.shape not in ((), (len(rows),)):
        raise ValueError(f"value has shape {value.shape}; expected a number or ({len(rows)},).")
    theta = w if p == d else jnp.concatenate([w, b[..., None]], axis=-1)
    of_targets = jax.vmap(lambda theta, matrix: _statistic(theta, matrix, rows, value))
    f = of_targets(theta.reshape(-1, p), covariance.reshape(-1, p, p)).reshape(b.shape)
    return Wald(f, log_p.f(f, len(rows), df))


def _statistic(theta, covariance, contrast, value) -> Float[Array, ""]:
    inverse = factor.cholesky(matmul(matmul(contrast, covariance), contrast.T))
    sound = factor.reliable(inverse) & (inverse.rank == len(contrast))
    distance = matmul(inverse.vectors.T, matmul(contrast, theta) - value)
    return jnp.where(sound, jnp.mean(jnp.square(distance)), jnp.nan)

"""Ridge for a wide x (no more rows than coefficients), by the kernel A Aᵀ of its centred rows.

With A = √w (x − x̄), the coefficients are w = Aᵀ β, where β solves (A Aᵀ + α I) β = √w (y − ȳ).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.endings import status_of
from jaxlinear.linalg import factor, implicit
from jaxlinear.linalg.factor import Factor, Spectrum
from jaxlinear.linalg.products import matmul
from jaxlinear.loops import when
from jaxlinear.rows.absent import ones_or, readable, times_root_weight
from jaxlinear.rows.means import Means, away_from, mean_of_rows
from jaxlinear.types import Fit, Linear, Report, Rows


class Centred(NamedTuple):
    """``rows`` A = √w (x − x̄), ``sides`` √w (y − ȳ), and ``weight`` Σ w.

    ``absent`` marks the rows of weight 0 (None without weights). ``share`` is w / Σ w, the part
    of the intercept in a leverage. Without intercept nothing is subtracted, and ``share`` is 0.
    """

    rows: Float[Array, "n d"]
    sides: Float[Array, "k n"]
    mean: Means
    weight: Float[Array, ""]
    absent: Bool[Array, " n"] | None
    share: Float[Array, " n"]


class Added(NamedTuple):
    """The centred rows, and weights that are all 0 but have the derivatives of absent rows."""

    x: Float[Array, "n d"]
    y: Float[Array, "k n"]
    weight: Float[Array, " n"]


class Dual(NamedTuple):
    """The centred rows of a wide x, and those from which absent rows get their derivatives."""

    centred: Centred
    added: Added | None


def dual(batch: Rows, intercept: bool, l2s) -> tuple[Dual, Spectrum]:
    """The centred rows, and the spectrum of their ``kernel``, as accurate as the least l2 needs.

    It is made from x xᵀ, or from the QR factorisation of xᵀ where the rounding of x xᵀ exceeds
    1e-3 of the least λ + α.
    """
    centred, added = center(batch, intercept)
    fixed = jax.lax.stop_gradient(centred)
    quick = factor.spectrum(kernel(fixed))
    least = quick.values[0] + fixed.weight * jnp.min(jax.lax.stop_gradient(l2s))

    def slow(centred):
        rows = jnp.concatenate([centred.rows, null(centred)], axis=1)
        return factor.spectrum_of_triangle(jnp.linalg.qr(rows.T, mode="r"))

    spectrum = when(quick.noise > 1e-3 * least, slow, fixed, quick)
    return Dual(centred, added), spectrum


def center(batch: Rows, intercept: bool) -> tuple[Centred, Added | None]:
    """The rows of a batch, centred at their means or, without intercept, at 0.

    √w has no derivative where w = 0: such weights are constants in ``Centred``, and their
    derivatives come from ``Added``.
    """
    batch = readable(batch)
    absent = None if batch.weight is None else batch.weight == 0
    held = batch
    if absent is not None:
        held = batch._replace(weight=jnp.where(absent, 0, batch.weight))
    means = Means(mean_of_rows(held, "x"), mean_of_rows(held, "y"))
    means = means if intercept else jax.tree.map(jnp.zeros_like, means)
    x, y = (away_from(batch, name, getattr(means, name)) for name in ("x", "y"))
    each = ones_or(held.weight, len(x), x.dtype)
    share = each / jnp.sum(each) if intercept else jnp.zeros_like(each)
    rows, sides = times_root_weight(held.weight, x), times_root_weight(held.weight, y).T
    centred = Centred(rows, sides, means, jnp.sum(each), absent, share)
    if absent is None:
        return centred, None
    return centred, Added(x, y.T, jnp.where(absent, batch.weight, 0).astype(x.dtype))


def lifted_eigenvalue(centred: Centred):
    """The eigenvalue that ``kernel`` gives to null directions: the mean of those of A Aᵀ."""
    return jax.lax.stop_gradient(jnp.sum(jnp.square(centred.rows)) / len(centred.rows))


def null(centred: Centred) -> Float[Array, "n m"]:
    """N, whose columns are null directions of A Aᵀ: √w (by the intercept) and absent rows."""
    columns = times_root_weight(centred.share, jnp.ones_like(centred.rows[:, :1]))
    if centred.absent is not None:
        columns = jnp.concatenate([columns, jnp.diag(centred.absent.astype(columns.dtype))], axis=1)
    return columns * jnp.sqrt(lifted_eigenvalue(centred))


def kernel(centred: Centred) -> Float[Array, "n n"]:
    """A Aᵀ + N Nᵀ: N gives the known null directions of A Aᵀ an eigenvalue > 0."""
    rows = jnp.concatenate([centred.rows, null(centred)], axis=1)
    return matmul(rows, rows.T)


def fit(dual: Dual, spectrum: Spectrum, l2) -> Fit:
    """The fit at l2, a number or (k,)."""
    centred, added = dual
    rows, sides, mean, weight = centred[:4]
    alpha = jnp.broadcast_to(weight * l2, mean.y.shape)
    inverse = factor.shifted(spectrum, jax.lax.stop_gradient(alpha))
    data = (rows, sides, null(centred), alpha)
    coefficients = factor.solve(inverse, jax.lax.stop_gradient(sides))
    coefficients = implicit.optimum(_gradient, factor.solve, coefficients, inverse, data)
    w = matmul(coefficients, rows)
    residual = sides - matmul(w, rows.T)
    gradient = alpha[:, None] * w - matmul(residual, rows)
    squares = jnp.sum(jnp.square(residual)) + jnp.sum(alpha[:, None] * jnp.square(w))
    objective, norm = squares / 2 / weight, jnp.linalg.norm(gradient) / weight
    sound = jnp.isfinite(objective + norm) & (weight > 0)
    rank = jnp.min(inverse.rank) - jnp.sum(jnp.any(data[2] != 0, axis=0))
    short = jnp.any(alpha == 0) & (rank < rows.shape[1])
    status = status_of(sound, short, factor.reliable(inverse))
    report = Report(status, jnp.int32(1), objective, norm, rank)
    params = Linear(w, mean.y - matmul(w, mean.x))
    if added is not None:
        more = _more(centred, inverse, added, params.w, l2)
        params = jax.tree.map(jnp.add, params, more)
    return Fit(params, report)


def _gradient(coefficients, data):
    """The function whose root β gives w = Aᵀ β: A (Aᵀ β) + N (Nᵀ β) + α β − √w (y − ȳ)."""
    rows, sides, lifted, alpha = data
    product = matmul(matmul(coefficients, rows), rows.T)
    product += matmul(matmul(coefficients, lifted), lifted.T)
    return product + alpha[:, None] * coefficients - sides


def _more(centred: Centred, inverse: Factor, added: Added, w, l2) -> Linear:
    """What absent rows add to w and b: 0, but with the derivatives in their weights."""
    l2 = jnp.broadcast_to(l2, (len(w),))
    zero = jax.lax.stop_gradient(Linear(0 * w, 0 * w[:, 0]))
    operand = inverse, centred.rows, centred.weight, l2
    intercept = jnp.sum(centred.share)
    data = w, centred.rows, centred.weight, l2, intercept, added
    more = implicit.optimum(_slope_of_more, _inverse_of_more, zero, operand, data)
    return more._replace(b=more.b - matmul(more.w, centred.mean.x))


def _slope_of_more(more: Linear, data) -> Linear:
    """The Hessian of the present rows times ``more``, plus the gradient of the absent rows."""
    w, rows, weight, l2, intercept, added = data
    slopes = matmul(w + more.w, added.x.T) + more.b[:, None] - added.y
    slopes = slopes * added.weight[None]
    of_w = matmul(matmul(more.w, rows.T), rows) + matmul(slopes, added.x)
    of_w += l2[:, None] * (weight * more.w + jnp.sum(added.weight) * (w + more.w))
    return Linear(of_w, weight * more.b + intercept * jnp.sum(slopes, axis=1))


def _inverse_of_more(operand, g: Linear) -> Linear:
    """(AᵀA + α I)⁻¹ g by the inverse of A Aᵀ + α I; 0 where α = 0: there is no derivative."""
    inverse, rows, weight, l2 = operand
    alpha = (weight * l2)[:, None]
    inside = factor.solve(inverse, matmul(g.w, rows.T))
    w = (g.w - matmul(inside, rows)) / jnp.where(alpha == 0, jnp.inf, alpha)
    return Linear(w, g.b / weight)

"""A wide x: its rows around their means, times the roots of their weights, and their kernel.

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
    """A = √w (x − x̄) and √w (y − ȳ), with Σ w, the rows of weight 0 (or None), and w / Σ w.

    Without intercept nothing is subtracted, and the share of the intercept in a leverage is 0.
    """

    rows: Float[Array, "n d"]
    sides: Float[Array, "k n"]
    mean: Means
    weight: Float[Array, ""]
    absent: Bool[Array, " n"] | None
    share: Float[Array, " n"]


class Added(NamedTuple):
    """The rows around the means, and the weights of absent ones: 0, with derivatives."""

    x: Float[Array, "n d"]
    y: Float[Array, "k n"]
    weight: Float[Array, " n"]


class Dual(NamedTuple):
    """A wide x: its rows, the spectrum of its ``kernel``, and what absent examples would add."""

    centred: Centred
    spectrum: Spectrum
    added: Added | None


def dual(batch: Rows, intercept: bool, l2s) -> Dual:
    """From x xᵀ, and from the QR factorisation of xᵀ where that hides what l2 does not."""
    centred, added = center(batch, intercept)
    fixed = jax.lax.stop_gradient(centred)
    quick = factor.spectrum(kernel(fixed))
    least = quick.values[0] + fixed.weight * jnp.min(jax.lax.stop_gradient(l2s))

    def slow(centred):
        rows = jnp.concatenate([centred.rows, null(centred)], axis=1)
        return factor.spectrum_of_triangle(jnp.linalg.qr(rows.T, mode="r"))

    spectrum = when(quick.noise > 1e-3 * least, slow, fixed, quick)
    return Dual(centred, spectrum, added)


def center(batch: Rows, intercept: bool) -> tuple[Centred, Added | None]:
    """The rows of a batch around their means, or around 0.

    √w has no derivative where it is 0: there the weights of the first are constants, and the
    derivatives are those of what is ``Added``.
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
    """What the null directions of ``kernel`` are lifted to: the mean of all eigenvalues."""
    return jax.lax.stop_gradient(jnp.sum(jnp.square(centred.rows)) / len(centred.rows))


def null(centred: Centred) -> Float[Array, "n m"]:
    """N, of null directions of A Aᵀ: √w, of the intercept, and those of absent examples."""
    columns = times_root_weight(centred.share, jnp.ones_like(centred.rows[:, :1]))
    if centred.absent is not None:
        columns = jnp.concatenate([columns, jnp.diag(centred.absent.astype(columns.dtype))], axis=1)
    return columns * jnp.sqrt(lifted_eigenvalue(centred))


def kernel(centred: Centred) -> Float[Array, "n n"]:
    """A Aᵀ + N Nᵀ: lifted, what is null by construction is no obstacle to any solve."""
    rows = jnp.concatenate([centred.rows, null(centred)], axis=1)
    return matmul(rows, rows.T)


def fit_dual(decomposition: Dual, l2) -> Fit:
    """The fit at l2 from the dual."""
    centred, spectrum, added = decomposition
    rows, sides, mean, weight = centred[:4]
    alpha = jnp.broadcast_to(weight * l2, mean.y.shape).reshape(-1)
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
    params = Linear(w, jnp.atleast_1d(mean.y) - matmul(w, mean.x))
    if added is not None:
        more = _more(centred, inverse, added, params.w, l2)
        params = jax.tree.map(jnp.add, params, more)
    return Fit(Linear(params.w.reshape(*mean.y.shape, -1), params.b.reshape(mean.y.shape)), report)


def _gradient(coefficients, data):
    """Whose root β gives w = Aᵀ β: A (Aᵀ β) + N (Nᵀ β) + α β − √w (y − ȳ)."""
    rows, sides, lifted, alpha = data
    product = matmul(matmul(coefficients, rows), rows.T)
    product += matmul(matmul(coefficients, lifted), lifted.T)
    return product + alpha[:, None] * coefficients - sides


def _more(centred: Centred, inverse: Factor, added: Added, w, l2) -> Linear:
    """What absent examples add: 0, with the derivatives in their weights, in w and b + w x̄."""
    l2 = jnp.broadcast_to(l2, (len(w),))
    zero = jax.lax.stop_gradient(Linear(0 * w, 0 * w[:, 0]))
    operand = inverse, centred.rows, centred.weight, l2
    intercept = jnp.sum(centred.share)
    data = w, centred.rows, centred.weight, l2, intercept, added
    more = implicit.optimum(_slope_of_more, _inverse_of_more, zero, operand, data)
    return more._replace(b=more.b - matmul(more.w, centred.mean.x))


def _slope_of_more(more: Linear, data) -> Linear:
    """H of those present times what is added, and the slopes of the losses of absent examples."""
    w, rows, weight, l2, intercept, added = data
    slopes = matmul(w + more.w, added.x.T) + more.b[:, None] - added.y
    slopes = slopes * added.weight[None]
    of_w = matmul(matmul(more.w, rows.T), rows) + matmul(slopes, added.x)
    of_w += l2[:, None] * (weight * more.w + jnp.sum(added.weight) * (w + more.w))
    return Linear(of_w, weight * more.b + intercept * jnp.sum(slopes, axis=1))


def _inverse_of_more(operand, g: Linear) -> Linear:
    """(AᵀA + α I)⁻¹ g by the inverse of A Aᵀ + α I; 0 where α is: there is no derivative."""
    inverse, rows, weight, l2 = operand
    alpha = (weight * l2)[:, None]
    inside = factor.solve(inverse, matmul(g.w, rows.T))
    w = (g.w - matmul(inside, rows)) / jnp.where(alpha == 0, jnp.inf, alpha)
    return Linear(w, g.b / weight)

"""Ridge from one eigendecomposition, for every penalty: Σ w x xᵀ of a tall x, x xᵀ of a wide one.

With A = √w (x − x̄) = U Σ Vᵀ, a fit at the penalty α = l2 Σ w is w = V (Σ² + α)⁻¹ Σ Uᵀ √w (y − ȳ):
a penalty more costs two small products.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import factor, gram, implicit
from jaxlinear.data import batching
from jaxlinear.factor import Factor, Spectrum, matmul
from jaxlinear.gram import Gram, Means
from jaxlinear.objective import ones_or, readable
from jaxlinear.types import Fit, Linear, Report, Rows


class Primal(NamedTuple):
    """A tall x: its statistics, and the spectrum of AᵀA. ``empty`` counts constant columns."""

    made: Gram
    spectrum: Spectrum
    empty: Int[Array, ""]


class Centred(NamedTuple):
    """A = √w (x − x̄) and √w (y − ȳ), with Σ w, who is absent if anyone may be, and w / Σ w.

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


def decompose(batch: Rows, intercept: bool, l2s) -> Primal | Dual:
    """The decomposition by the shape of x; of a wide one fit for the least of ``l2s``."""
    if is_tall(*batch.x.shape, intercept):
        return primal(gram.of_batch(batch), intercept)
    return dual(batch, intercept, l2s)


def is_tall(n: int, d: int, intercept: bool) -> bool:
    """More examples than coefficients; with as many 1 − h is 0, and must not cancel."""
    return n > d + intercept


def primal(made: Gram, intercept: bool) -> Primal:
    """From statistics."""
    made = made if intercept else gram.uncentred(made)
    xx = jax.lax.stop_gradient(made.xx)
    diagonal = jnp.diagonal(xx)
    empty = diagonal <= 0
    lift = jnp.where(empty, jnp.mean(diagonal), 0)  # a constant column hides nothing
    spectrum = factor.spectrum(xx + jnp.diag(lift))
    # Rounding mixes even eigenvectors that share no column.
    vectors = jnp.where(empty[:, None], 0, spectrum.vectors)
    return Primal(made, spectrum._replace(vectors=vectors), jnp.sum(empty))


def triangle(batch: Rows, center, scale, start) -> Float[Array, "d d"]:
    """R of the QR factorisation of √w (x − c) / scale below ``start`` (d, d), block by block."""

    def add(above, block):
        block = readable(block)
        rows = gram.away_from(block, "x", center) / scale[None]
        rows = _root_weight(block.weight, rows)
        # LAPACK wants columns; without this all of x would be copied to that order, used or not.
        rows = with_layout_constraint(rows, Layout(major_to_minor=(0, 1)))
        return jnp.linalg.qr(jnp.concatenate([above, rows]), mode="r")

    size = max(1024, 4 * len(center))
    return batching.fold(lambda block: add(start, block), add, batch, size)


def _root_weight(weight, rows):
    """√w times the rows, 0 where absent, in gradients too."""
    if weight is None:
        return rows
    present = weight > 0
    root = jnp.where(present, jnp.sqrt(jnp.where(present, weight, 1)), 0).astype(rows.dtype)
    return root[:, None] * rows


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
    means = Means(gram.mean(held, "x"), gram.mean(held, "y"))
    means = means if intercept else jax.tree.map(jnp.zeros_like, means)
    x, y = (gram.away_from(batch, name, getattr(means, name)) for name in ("x", "y"))
    each = ones_or(held.weight, len(x), x.dtype)
    share = each / jnp.sum(each) if intercept else jnp.zeros_like(each)
    rows, sides = _root_weight(held.weight, x), _root_weight(held.weight, y).T
    centred = Centred(rows, sides, means, jnp.sum(each), absent, share)
    if absent is None:
        return centred, None
    return centred, Added(x, y.T, jnp.where(absent, batch.weight, 0).astype(x.dtype))


def lifted_eigenvalue(centred: Centred):
    """What the null directions of ``kernel`` are lifted to: the mean of all eigenvalues."""
    return jax.lax.stop_gradient(jnp.sum(jnp.square(centred.rows)) / len(centred.rows))


def null(centred: Centred) -> Float[Array, "n m"]:
    """N, of null directions of A Aᵀ: √w, of the intercept, and those of absent examples."""
    columns = _root_weight(centred.share, jnp.ones_like(centred.rows[:, :1]))
    if centred.absent is not None:
        columns = jnp.concatenate([columns, jnp.diag(centred.absent.astype(columns.dtype))], axis=1)
    return columns * jnp.sqrt(lifted_eigenvalue(centred))


def kernel(centred: Centred) -> Float[Array, "n n"]:
    """A Aᵀ + N Nᵀ: lifted, what is null by construction is no obstacle to any solve."""
    rows = jnp.concatenate([centred.rows, null(centred)], axis=1)
    return matmul(rows, rows.T)


def dual(batch: Rows, intercept: bool, l2s) -> Dual:
    """From x xᵀ, and from the QR factorisation of xᵀ where that hides what l2 does not."""
    centred, added = center(batch, intercept)
    fixed = jax.lax.stop_gradient(centred)
    quick = factor.spectrum(kernel(fixed))
    least = quick.values[0] + fixed.weight * jnp.min(jax.lax.stop_gradient(l2s))

    def slow(centred):
        rows = jnp.concatenate([centred.rows, null(centred)], axis=1)
        return factor.spectrum_of_triangle(jnp.linalg.qr(rows.T, mode="r"))

    spectrum = factor.when(quick.noise > 1e-3 * least, slow, fixed, quick)
    return Dual(centred, spectrum, added)


def scales(decomposition: Primal | Dual, weight, l2s) -> Float[Array, "m r"]:
    """1 / (λ + l2 Σ w) for every penalty."""
    alphas = weight * l2s
    return factor.shifted(decomposition.spectrum, alphas).scale


def mean_of(decomposition: Primal | Dual) -> Means:
    """The means that a decomposition is counted from."""
    if isinstance(decomposition, Primal):
        return Means(decomposition.made.mean_x, decomposition.made.mean_y)
    return decomposition.centred.mean


def weight_of(decomposition: Primal | Dual):
    """The total weight of the examples of a decomposition."""
    known = decomposition.made if isinstance(decomposition, Primal) else decomposition.centred
    return known.weight


def held_out(decomposition: Primal | Dual, batch: Rows):
    """P (m, r) and R (k, r): outputs of other examples, less ȳ, are R diag(scale) Pᵀ."""
    away = gram.away_from(batch, "x", mean_of(decomposition).x)
    vectors = decomposition.spectrum.vectors
    if isinstance(decomposition, Primal):
        sides = decomposition.made.xy.reshape(-1, away.shape[1])
        return matmul(away, vectors), matmul(sides, vectors)
    rows, sides = decomposition.centred.rows, decomposition.centred.sides
    return matmul(away, matmul(rows.T, vectors)), matmul(sides, vectors)


def fit(decomposition: Primal | Dual, l2) -> Fit:
    """The fit at l2, a number or (k,), one for each target."""
    if isinstance(decomposition, Primal):
        alpha = decomposition.made.weight * l2
        made = inverse(decomposition, jax.lax.stop_gradient(alpha))
        return gram.fit_from(decomposition.made, jnp.reshape(alpha, (-1, 1)), made)
    return _fit_dual(decomposition, l2)


def inverse(primal: Primal, alpha) -> Factor:
    """The factor of AᵀA + α I, of which α is a number or (k,)."""
    made = factor.shifted(primal.spectrum, alpha)
    return made._replace(rank=made.rank - jnp.where(alpha == 0, primal.empty, 0))


def _fit_dual(decomposition: Dual, l2) -> Fit:
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
    status = gram.status_of(sound, short, factor.reliable(inverse))
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
    known = inverse, centred.rows, centred.weight, l2
    intercept = jnp.sum(centred.share)
    data = w, centred.rows, centred.weight, l2, intercept, added
    more = implicit.optimum(_slope_of_more, _inverse_of_more, zero, known, data)
    return more._replace(b=more.b - matmul(more.w, centred.mean.x))


def _slope_of_more(more: Linear, data) -> Linear:
    """H of those present times what is added, and the slopes of the losses of absent examples."""
    w, rows, weight, l2, intercept, added = data
    slopes = matmul(w + more.w, added.x.T) + more.b[:, None] - added.y
    slopes = slopes * added.weight[None]
    of_w = matmul(matmul(more.w, rows.T), rows) + matmul(slopes, added.x)
    of_w += l2[:, None] * (weight * more.w + jnp.sum(added.weight) * (w + more.w))
    return Linear(of_w, weight * more.b + intercept * jnp.sum(slopes, axis=1))


def _inverse_of_more(known, g: Linear) -> Linear:
    """(AᵀA + α I)⁻¹ g by the inverse of A Aᵀ + α I; 0 where α is: there is no derivative."""
    inverse, rows, weight, l2 = known
    alpha = (weight * l2)[:, None]
    inside = factor.solve(inverse, matmul(g.w, rows.T))
    w = (g.w - matmul(inside, rows)) / jnp.where(alpha == 0, jnp.inf, alpha)
    return Linear(w, g.b / weight)

"""Inverses of symmetric matrices H as H⁻¹ = V diag(s) Vᵀ: made once, applied to many sides.

All solvers of least squares share this one form. Whatever made it, Cholesky, QR or an
eigendecomposition, is never differentiated: derivatives go around it (see ``implicit``).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Rounding moves an eigenvalue or singular value by up to this many eps of the largest.
_NOISE = 8


class Factor(NamedTuple):
    """H⁻¹ = vectors diag(scale) vectorsᵀ, or a pseudoinverse; ``rank`` is that of H.

    ``scale`` has one row for all right-hand sides, or a row for each. ``error`` is about the
    relative error that the rounding of H, or of what it is made of, leaves in a solution.
    """

    vectors: Float[Array, "d r"]
    scale: Float[Array, "*k r"]
    rank: Int[Array, "*k"]
    error: Float[Array, "*k"]


def solve(factor: Factor, sides: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """H⁻¹ g for every row g of ``sides``."""
    scale = jnp.broadcast_to(factor.scale, (len(sides), factor.scale.shape[-1]))
    return matmul(matmul(sides, factor.vectors) * scale, factor.vectors.T)


def when(needed, function, operand, otherwise):
    """``function(operand)`` where ``needed``, else ``otherwise``.

    A ``cond`` under ``vmap`` always pays for both branches; a loop of at most one step only
    where a member needs it.
    """

    def once(carry):
        return jnp.array(False), function(kept_inside(operand, carry[0]))

    return jax.lax.while_loop(lambda carry: carry[0], once, (needed, otherwise))[1]


def kept_inside(operand, changing):
    """``operand``, for use in a loop that changes ``changing``.

    The compiler takes what is made of constants alone out of a loop, and so always makes it,
    even where the loop takes no step.
    """
    return jax.lax.optimization_barrier((operand, changing))[0]


def stored(function, *operands):
    """The array ``function(*operands)``, in memory of its own.

    The compiler merges what makes an array with a product of a matrix and a vector, which then
    takes twenty times as long; not across the branches of a condition that it does not know.
    """
    here = jax.lax.optimization_barrier(jnp.array(True))
    shape = jax.eval_shape(function, *operands)

    def otherwise(*_):
        return jnp.zeros(shape.shape, shape.dtype)

    return jax.lax.cond(here, function, otherwise, *operands)


def matmul(a, b):
    """a @ b at the full precision of the dtype, which accelerators do not give by themselves."""
    return jnp.matmul(a, b, precision="highest")


_LONG = 2**20  # numbers of a matrix, which one core reads more slowly than two


def weighted_rows(weights: Float[Array, "n k"], rows: Float[Array, "n p"]) -> Float[Array, "k p"]:
    """Σ_i weights_i ⊗ rows_i, with all cores.

    A product of one long row and a matrix XLA gives to one core of a CPU; of two rows to all.
    """
    if weights.shape[1] > 1 or rows.size < _LONG or jax.default_backend() != "cpu":
        return matmul(weights.T, rows)
    return _beside_zeros(weights, rows)


@jax.custom_batching.custom_vmap
def _beside_zeros(weights, rows):
    return matmul(jnp.pad(weights, ((0, 0), (0, 1))).T, rows)[:1]


@_beside_zeros.def_vmap
def _of_many_models(models, batched, weights, rows):
    axes = tuple(0 if own else None for own in batched)
    return jax.vmap(lambda weights, rows: matmul(weights.T, rows), axes)(weights, rows), True


def cholesky(matrix: Float[Array, "d d"]) -> Factor:
    """The factor of a positive definite matrix, whatever the scales of its columns.

    The columns are scaled to a unit diagonal, which is within √d of the best scaling (van der
    Sluis, 1969). A row of zeros is left out. Not positive definite: the error is inf.
    """
    d = len(matrix)
    scale, empty = unit_scale(jnp.diagonal(matrix))
    unit = jnp.where(
        empty[:, None] | empty[None], jnp.eye(d, dtype=matrix.dtype), _scaled(matrix, scale)
    )
    lower = jnp.linalg.cholesky(unit, symmetrize_input=False)
    inverse = jax.lax.linalg.triangular_solve(
        lower, jnp.eye(d, dtype=matrix.dtype), left_side=True, lower=True
    )
    diagonal = jnp.sum(jnp.square(inverse), axis=0)
    sound = jnp.isfinite(diagonal).all()
    root = jnp.where(empty[:, None], 0, inverse.T / scale[:, None])
    return Factor(
        jnp.where(sound, root, 0),
        jnp.ones(d, matrix.dtype),
        jnp.sum(~empty),
        # diag(H⁻¹), the variance inflation factors, is a d-th of the condition number or more.
        jnp.where(sound, diagonal.max() * jnp.finfo(matrix.dtype).eps, jnp.inf),
    )


def unit_scale(
    squares: Float[Array, "*k d"],
) -> tuple[Float[Array, "*k d"], Bool[Array, "*k d"]]:
    """The square roots, with 1 in the place of 0, and where those places are."""
    empty = squares <= 0
    return jnp.sqrt(jnp.where(empty, 1, squares)), empty


def power_of_two(size):
    """The largest one up to ``size``, and 1 for 0 and for what is no number: an exact unit."""
    size = jnp.where(jnp.isfinite(size) & (size > 0), size, 1)
    _, exponent = jnp.frexp(size)
    return jnp.ldexp(jnp.ones_like(size), exponent - 1)


def norm(values):
    """The 2-norm of all values; their squares may overflow, or vanish."""
    unit = power_of_two(jnp.max(jnp.abs(values)))
    return unit * jnp.sqrt(jnp.sum(jnp.square(values / unit)))


def _scaled(matrix, scale):
    return matrix / scale[:, None] / scale[None, :]


def truncated(
    vectors: Float[Array, "d d"],
    singular: Float[Array, " d"],
    scale: Float[Array, " d"],
    tolerance,
    power: int,
) -> Factor:
    """The pseudoinverse of H = (A D)ᵀ A D from the SVD A = U diag(singular) vectorsᵀ, D = scale.

    Singular values up to ``tolerance`` times the largest count as 0. What is left undetermined
    is then set to 0 in the columns as they came, not as they were scaled: the solution is the
    one of minimum norm. The error grows with that ``power`` of the condition number.
    """
    kept = singular > tolerance * singular.max()
    root = jnp.where(kept[None], vectors / jnp.where(kept, singular, 1)[None], 0)
    inverse_norm = jnp.linalg.norm(root, axis=1).max()
    free = _columns_of_unit_norm(jnp.where(kept[None], 0, vectors) / scale[:, None])
    left, size, _ = jnp.linalg.svd(free)
    null = jnp.where(size[None] > tolerance, left, 0)
    root = root / scale[:, None]
    root = root - matmul(null, matmul(null.T, root))
    error = inverse_norm**power * jnp.finfo(root.dtype).eps
    return Factor(root, jnp.ones_like(singular), jnp.sum(kept), error)


def of_triangle(triangle: Float[Array, "d d"], scale: Float[Array, " d"]) -> Factor:
    """The pseudoinverse of D RᵀR D from the triangle R of a QR factorisation, D = diag(scale)."""
    _, singular, vectors = jnp.linalg.svd(triangle)
    return truncated(vectors.T, singular, scale, _NOISE * jnp.finfo(scale.dtype).eps, 1)


def _columns_of_unit_norm(matrix):
    norm, _ = unit_scale(jnp.sum(jnp.square(matrix), axis=0))
    return matrix / norm[None]


def from_eigenvalues(matrix: Float[Array, "d d"]) -> Factor:
    """The pseudoinverse of a positive semidefinite matrix whose entries are rounded.

    Their rounding hides eigenvalues up to eps of the largest, singular values up to √eps.
    """
    scale, _ = unit_scale(jnp.diagonal(matrix))
    values, vectors = jnp.linalg.eigh(_scaled(matrix, scale))
    hidden = jnp.sqrt(_NOISE * jnp.finfo(matrix.dtype).eps)
    return truncated(vectors, jnp.sqrt(jnp.maximum(values, 0)), scale, hidden, 2)


def reliable(factor: Factor) -> Bool[Array, ""]:
    """Whether rounding leaves three digits of every solution."""
    return jnp.all(factor.error < 1e-3)


class Spectrum(NamedTuple):
    """The eigenvalues λ ≥ 0 and eigenvectors V of a symmetric positive semidefinite matrix M.

    One spectrum serves every penalty: (M + α I)⁻¹ = V diag(1 / (λ + α)) Vᵀ. ``noise`` is how far
    rounding may move an eigenvalue; what is below counts as 0.
    """

    values: Float[Array, " r"]
    vectors: Float[Array, "d r"]
    noise: Float[Array, ""]


def spectrum(matrix: Float[Array, "d d"]) -> Spectrum:
    """The spectrum of a matrix of rounded entries."""
    values, vectors = jnp.linalg.eigh(matrix)
    noise = _NOISE * float(jnp.finfo(matrix.dtype).eps) * jnp.abs(values).max()
    return Spectrum(jnp.maximum(values, 0), vectors, noise)


def spectrum_of_triangle(triangle: Float[Array, "d d"]) -> Spectrum:
    """The spectrum of RᵀR, from R itself: eigenvalues down to eps² of the largest."""
    _, singular, vectors = jnp.linalg.svd(triangle)
    values = jnp.square(singular)
    noise = jnp.square(_NOISE * jnp.finfo(values.dtype).eps) * values.max()
    return Spectrum(values[::-1], vectors[::-1].T, noise)


def shifted(spectrum: Spectrum, alpha: Float[Array, "*k"]) -> Factor:
    """The factor of M + α I for every α; where α = 0, the pseudoinverse of M."""
    values = spectrum.values.reshape(*[1] * alpha.ndim, -1) + alpha[..., None]
    kept = values > spectrum.noise
    scale = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    error = jnp.max(scale, axis=-1) * spectrum.noise / _NOISE
    return Factor(spectrum.vectors, scale, jnp.sum(kept, axis=-1), error)

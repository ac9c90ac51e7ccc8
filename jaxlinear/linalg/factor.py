"""Inverses of symmetric matrices as H⁻¹ = V diag(s) Vᵀ, computed once for many right-hand sides.

All solvers of least squares share this one form. The Cholesky, QR or eigendecomposition that it
comes from is never differentiated: derivatives use the implicit function theorem (``implicit``).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxlinear.linalg.products import matmul, unit_scale

# Rounding moves an eigenvalue or singular value by up to this many eps of the largest.
_NOISE = 8


class Factor(NamedTuple):
    """H⁻¹ = vectors diag(scale) vectorsᵀ, or a pseudoinverse; ``rank`` is that of H.

    ``scale`` has one row for all right-hand sides, or a row for each. ``error`` estimates
    the relative error of a solution due to the rounding of H, or of the data that H is made of.
    """

    vectors: Float[Array, "d r"]
    scale: Float[Array, "*k r"]
    rank: Int[Array, "*k"]
    error: Float[Array, "*k"]


def solve(factor: Factor, sides: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """H⁻¹ g for every row g of ``sides``."""
    scale = jnp.broadcast_to(factor.scale, (len(sides), factor.scale.shape[-1]))
    return matmul(matmul(sides, factor.vectors) * scale, factor.vectors.T)


def cholesky(matrix: Float[Array, "d d"]) -> Factor:
    """The factor of a positive definite matrix, whatever the scales of its columns.

    The columns are scaled to a unit diagonal, which is within √d of the best scaling (van der
    Sluis, 1969). A row of zeros is left out: its solution is 0. Where the matrix is not positive
    definite, the error is inf.
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
        # The largest variance inflation factor, of diag(H⁻¹), is at least ‖H⁻¹‖₂ / d.
        jnp.where(sound, diagonal.max() * jnp.finfo(matrix.dtype).eps, jnp.inf),
    )


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

    Singular values up to ``tolerance`` times the largest count as 0. Of the solutions that are
    then possible, the one of minimum norm is taken: in the original columns, not in the scaled
    ones. The error grows with the condition number to the power ``power``.
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

    The rounding hides eigenvalues up to eps times the largest: singular values up to √eps.
    """
    scale, _ = unit_scale(jnp.diagonal(matrix))
    values, vectors = jnp.linalg.eigh(_scaled(matrix, scale))
    hidden = jnp.sqrt(_NOISE * jnp.finfo(matrix.dtype).eps)
    return truncated(vectors, jnp.sqrt(jnp.maximum(values, 0)), scale, hidden, 2)


def reliable(factor: Factor) -> Bool[Array, ""]:
    """Whether every solution has at least three correct digits, by the estimated error."""
    return jnp.all(factor.error < 1e-3)


class Spectrum(NamedTuple):
    """The eigenvalues λ ≥ 0 and eigenvectors V of a symmetric positive semidefinite matrix M.

    One spectrum serves every penalty: (M + α I)⁻¹ = V diag(1 / (λ + α)) Vᵀ. ``noise`` is how far
    rounding may move an eigenvalue: a λ + α no larger than that counts as 0.
    """

    values: Float[Array, " r"]
    vectors: Float[Array, "d r"]
    noise: Float[Array, ""]


def spectrum(matrix: Float[Array, "d d"]) -> Spectrum:
    """The spectrum of a matrix whose entries are rounded."""
    values, vectors = jnp.linalg.eigh(matrix)
    noise = _NOISE * float(jnp.finfo(matrix.dtype).eps) * jnp.abs(values).max()
    return Spectrum(jnp.maximum(values, 0), vectors, noise)


def spectrum_of_triangle(triangle: Float[Array, "d d"]) -> Spectrum:
    """The spectrum of RᵀR from R itself, which resolves eigenvalues down to eps² of the largest."""
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

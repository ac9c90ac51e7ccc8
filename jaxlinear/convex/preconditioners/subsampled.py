"""A block of every output from sampled examples, with what couples the outputs."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex.preconditioners.diagonal import inverse_diagonal
from jaxlinear.convex.preconditioners.form import PRODUCTS, Curvature
from jaxlinear.convex.problem import Problem, hessian, hessians
from jaxlinear.linalg.damped import damped, root_inverse, triangle_solve
from jaxlinear.linalg.products import matmul

SAMPLE = 4096  # examples behind the block of one output, at least
COUPLED = 16384  # behind what couples the outputs
DIRECTIONS = 60  # of largest variance, in which outputs are coupled


class _Directions(NamedTuple):
    """Directions (p, r) in which x varies most, and x in these coordinates."""

    basis: Float[Array, "p r"]
    x: Float[Array, "n r"]


class _Sampled(NamedTuple):
    """L⁻¹ of every block L Lᵀ of one output, and what coupling adds to the inverse."""

    roots: Float[Array, "k p p"]
    coupling: Float[Array, "kr kr"]


def _directions(problem: Problem) -> _Directions | None:
    k, p = problem.penalty.shape
    if k == 1:
        return None
    # Variance counts in units in which the penalty is the same for all columns.
    penalty = jnp.mean(problem.penalty, axis=0)
    mean = jnp.mean(penalty)
    unit = jax.lax.rsqrt(penalty / jnp.where(mean == 0, 1, mean) + 1e-3)
    rows = problem.x[_drawn(problem.share, _number(problem))[0]] * unit[None]
    vectors = jnp.linalg.eigh(matmul(rows.T, rows))[1]
    basis = unit[:, None] * vectors[:, -min(DIRECTIONS, p) :]
    return _Directions(basis, matmul(problem.x, basis))


def _drawn(weight: Float[Array, " n"], number: int):
    """Examples drawn by systematic sampling with chances as ``weight``, and its sum / number.

    Σ_i weight_i f_i is about the sum of f over the draws times sum / number: each draw has the
    same weight, so that the few examples that matter are there.
    """
    n = len(weight)
    total = jnp.cumsum(weight)
    places = (jnp.arange(number, dtype=weight.dtype) + 0.5) / number * total[-1]
    index = jnp.clip(jnp.searchsorted(total, places), 0, n - 1)
    return index, total[-1] / number


def _number(problem: Problem) -> int:
    n, p = problem.x.shape
    return min(n, max(SAMPLE, 4 * p))


def _diagonal_as_blocks(prepared, problem: Problem, loss: Callable, outputs) -> _Sampled:
    """The diagonal of H at first: most problems are at their end before blocks would pay."""
    shape = jax.eval_shape(functools.partial(_blocks, prepared, problem, loss), outputs)
    inverse = inverse_diagonal(prepared, problem, loss, outputs)
    roots = jnp.sqrt(inverse)[:, :, None] * jnp.eye(inverse.shape[1], dtype=inverse.dtype)[None]
    return _Sampled(roots, jnp.zeros(shape.coupling.shape, inverse.dtype))


def _blocks(prepared: _Directions | None, problem: Problem, loss: Callable, outputs) -> _Sampled:
    h = hessians(loss, problem, outputs)
    one = jnp.eye(problem.x.shape[1], dtype=h.dtype)

    def root(argument):
        weight, penalty = argument
        index, each = _drawn(jnp.maximum(weight, 0), _number(problem))
        rows = problem.x[index]
        matrix = _lifted(each * matmul(rows.T, rows) + jnp.diag(penalty))
        lower = jnp.linalg.cholesky(matrix)
        inverse = triangle_solve(lower, one)
        if prepared is None:
            return inverse, jnp.zeros((0, 0), h.dtype)
        # (Zᵀ B Z)⁻¹ for the block B = L Lᵀ.
        inside = matmul(lower.T, prepared.basis)
        return inverse, jnp.linalg.inv(matmul(inside.T, inside))

    diagonal = jnp.diagonal(h, axis1=1, axis2=2).T
    roots, within = jax.lax.map(root, (diagonal, problem.penalty))
    if prepared is None:
        return _Sampled(roots, jnp.zeros((0, 0), h.dtype))
    z, x = prepared
    weights = matmul(problem.penalty, jnp.square(z))  # of the diagonal: only its size matters
    size = jnp.sum(jnp.maximum(diagonal, 0), axis=0)
    index, each = _drawn(size, min(len(x), COUPLED))
    drawn = each * h[index] / jnp.maximum(size[index], jnp.finfo(h.dtype).tiny)[:, None, None]
    coupling = root_inverse(damped(hessian(problem._replace(x=x[index], penalty=weights), drawn)))
    alone = jnp.einsum("kij,kl->kilj", within, jnp.eye(len(within), dtype=h.dtype))
    coupling = coupling - alone.reshape(coupling.shape)
    return _Sampled(roots, coupling)


def _lifted(matrix):
    extra = jnp.maximum(jnp.diagonal(matrix), jnp.finfo(matrix.dtype).tiny)
    return matrix + jnp.diag(4 * jnp.sqrt(jnp.finfo(matrix.dtype).eps) * extra)


def _apply_blocks(problem: Problem, prepared: _Directions | None, built: _Sampled, g):
    inside = jnp.einsum("kij,kj->ki", built.roots, g, precision="highest")
    result = jnp.einsum("kji,kj->ki", built.roots, inside, precision="highest")
    if prepared is None:
        return result
    coarse = matmul(g, prepared.basis).reshape(-1)
    coupled = matmul(built.coupling, coarse).reshape(len(g), -1)
    return result + matmul(coupled, prepared.basis.T)


@functools.cache
def subsampled_after(steps: int) -> Curvature:
    """The form that makes its blocks after so many steps, and again after as many."""
    return Curvature(
        _directions,
        _blocks,
        _apply_blocks,
        _diagonal_as_blocks,
        lambda clock, ratio, last: (clock % 100 == steps) | (clock == 2 * steps),
        memory=15,
        products=PRODUCTS,
        rescaled=True,
    )

"""The curvature of a convex objective, in five forms that a machine can afford.

H = Σ_i x_i x_iᵀ ⊗ h_i + diag(λ), where h_i is the Hessian of the loss of example i in its k
outputs. ``exact`` is H itself, for few coefficients. ``alike`` has one inverse for all outputs,
which products with H correct. ``sampled`` stands for H where such a product takes long: every
block of one output from the examples that matter most to it, and what couples the outputs in the
directions in which x varies most. ``shared`` has one eigendecomposition of x for thousands of
models. ``near`` has one inverse for all models that end near each other, as the folds of a
cross-validation do. All but the first precondition: they need not be right, only near.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear import factor
from jaxlinear.factor import matmul

_SAMPLE = 4096  # examples behind the block of one output, at least
_COUPLED = 16384  # behind what couples the outputs
_DIRECTIONS = 60  # of largest variance, in which outputs are coupled


class Problem(NamedTuple):
    """Σ_i share_i loss(θ x_i, y_i) + ½ Σ λ θ², with columns of x that are alike in size.

    ``share`` are weights that sum to 1; x of absent examples is 0. θ is (k, p).
    """

    x: Float[Array, "n p"]
    y: Any
    share: Float[Array, " n"]
    penalty: Float[Array, "k p"]


class Curvature(NamedTuple):
    """A form of H.

    ``prepare(problem)`` is made once, unless it is given, ``build(prepared, problem, loss,
    outputs)`` from the Hessians of the losses there, and ``apply(prepared, built, g)`` is about
    H⁻¹ g. ``due(clock, ratio, last)`` says when to build it again: ``ratio`` is what it promises
    now, as a part of what it promised one step ago, and ``last`` that this is little enough to
    end. What the form leaves out is learned from ``memory`` steps by L-BFGS, or for every step
    anew from so many ``products`` with H, at most, by conjugate gradients.
    """

    prepare: Callable | None
    build: Callable
    apply: Callable
    due: Callable
    memory: int = 0
    products: int = 0


def hessians(loss: Callable, problem: Problem, outputs) -> Float[Array, "n k k"]:
    """The Hessians of the losses in their outputs, times their shares."""
    return problem.share[:, None, None] * jax.vmap(jax.hessian(loss))(outputs, problem.y)


def mean_of_diagonal(loss: Callable, problem: Problem, outputs) -> Float[Array, ""]:
    """The mean of Σ_i share_i h_i over outputs, without room for all of h."""
    slopes = jax.grad(lambda o: jnp.sum(problem.share * jax.vmap(loss)(o, problem.y)))
    product = jax.linearize(slopes, outputs)[1]

    def of_output(unit):
        directions = jnp.broadcast_to(unit[None], outputs.shape)
        return jnp.sum(product(directions) * directions)

    units = jnp.eye(outputs.shape[1], dtype=outputs.dtype)
    return jnp.mean(jax.lax.map(of_output, units))


# ------------------------------------------------------------------ exact


class _Root(NamedTuple):
    """H = D L Lᵀ D, with ``inverse`` = diag(D⁻¹), 0 where H is."""

    lower: Float[Array, "d d"]
    inverse: Float[Array, " d"]


def _exactly(prepared, problem: Problem, loss: Callable, outputs) -> _Root:
    return _damped(hessian(problem, hessians(loss, problem, outputs)))


def hessian(problem: Problem, h: Float[Array, "n k k"]) -> Float[Array, "kp kp"]:
    """Σ_i x_i x_iᵀ ⊗ h_i + diag(λ)."""
    k, p = problem.penalty.shape
    a, b = jnp.triu_indices(k)

    def block(pair):
        return matmul((problem.x * h[:, pair[0], pair[1]][:, None]).T, problem.x)

    upper = jax.lax.map(block, (a, b)) if k > 1 else block((0, 0))[None]
    blocks = jnp.zeros((k, k, p, p), upper.dtype).at[a, b].set(upper).at[b, a].set(upper)
    matrix = blocks.transpose(0, 2, 1, 3).reshape(k * p, k * p)
    return matrix + jnp.diag(problem.penalty.reshape(-1))


def _damped(matrix) -> _Root:
    """A Cholesky factor of H with a little more on the diagonal, as little as makes it one."""
    scale, empty = factor.unit_scale(jnp.diagonal(matrix))
    inverse = jnp.where(empty, 0, 1 / scale)
    unit = matrix * inverse[:, None] * inverse[None]
    one = jnp.eye(len(matrix), dtype=matrix.dtype)
    none = jnp.diag(empty.astype(matrix.dtype))

    def again(carry):
        damping, _ = carry
        lower = jnp.linalg.cholesky(unit + damping * one + none, symmetrize_input=False)
        return 100 * damping, lower

    def unfit(carry):
        return ~jnp.isfinite(carry[1][0, 0]) & (carry[0] < 100)  # all of a failed factor is NaN

    least = 16 * jnp.finfo(matrix.dtype).eps.astype(matrix.dtype)
    _, lower = jax.lax.while_loop(unfit, again, (least, jnp.nan * unit))
    return _Root(lower, inverse)


def _divided(lower, sides, *, transposed: bool = False):
    """L⁻¹ or L⁻ᵀ times the columns of ``sides``."""
    return jax.lax.linalg.triangular_solve(
        lower, sides, left_side=True, lower=True, transpose_a=transposed
    )


def _solve(prepared, built: _Root, g):
    """H⁻¹ g, and 0 where there is no factor."""
    side = (g.reshape(-1) * built.inverse)[:, None]
    inside = _divided(built.lower, _divided(built.lower, side), transposed=True)
    result = (inside[:, 0] * built.inverse).reshape(g.shape)
    return jnp.where(jnp.isfinite(result).all(), result, 0)


def _slower(clock, ratio, last):
    """Not while every step promises less than a tenth of the one before it: Newton's, once near."""
    return last | ~((clock > 0) & (ratio < 0.1))


def _inverse(root: _Root) -> Float[Array, "d d"]:
    half = _divided(root.lower, jnp.diag(root.inverse))
    return matmul(half.T, half)


exact = Curvature(lambda problem: None, _exactly, _solve, _slower)


# ------------------------------------------------------------------ alike


def _gram(problem: Problem) -> Float[Array, "p p"]:
    return matmul((problem.share[:, None] * problem.x).T, problem.x)


def _inverse_of_all(gram, problem: Problem, loss: Callable, outputs) -> Float[Array, "p p"]:
    """One inverse for all outputs: the mean curvature of the losses takes the place of each."""
    size = mean_of_diagonal(loss, problem, outputs)
    return _inverse(_damped(size * gram + jnp.diag(jnp.mean(problem.penalty, axis=0))))


alike = Curvature(
    _gram,
    _inverse_of_all,
    lambda gram, inverse, g: matmul(g, inverse),
    lambda clock, ratio, last: clock == 0,
    products=100,
)


# ------------------------------------------------------------------ sampled


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
    basis = unit[:, None] * vectors[:, -min(_DIRECTIONS, p) :]
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
    return min(n, max(_SAMPLE, 4 * p))


def _blocks(prepared: _Directions | None, problem: Problem, loss: Callable, outputs) -> _Sampled:
    h = hessians(loss, problem, outputs)
    one = jnp.eye(problem.x.shape[1], dtype=h.dtype)

    def root(argument):
        weight, penalty = argument
        index, each = _drawn(jnp.maximum(weight, 0), _number(problem))
        rows = problem.x[index]
        matrix = _lifted(each * matmul(rows.T, rows) + jnp.diag(penalty))
        lower = jnp.linalg.cholesky(matrix)
        inverse = _divided(lower, one)
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
    index, each = _drawn(size, min(len(x), _COUPLED))
    drawn = each * h[index] / jnp.maximum(size[index], jnp.finfo(h.dtype).tiny)[:, None, None]
    coupling = _inverse(_damped(hessian(problem._replace(x=x[index], penalty=weights), drawn)))
    alone = jnp.einsum("kij,kl->kilj", within, jnp.eye(len(within), dtype=h.dtype))
    coupling = coupling - alone.reshape(coupling.shape)
    return _Sampled(roots, coupling)


def _lifted(matrix):
    extra = jnp.maximum(jnp.diagonal(matrix), jnp.finfo(matrix.dtype).tiny)
    return matrix + jnp.diag(4 * jnp.sqrt(jnp.finfo(matrix.dtype).eps) * extra)


def _apply_blocks(prepared: _Directions | None, built: _Sampled, g):
    inside = jnp.einsum("kij,kj->ki", built.roots, g, precision="highest")
    result = jnp.einsum("kji,kj->ki", built.roots, inside, precision="highest")
    if prepared is None:
        return result
    coarse = matmul(g, prepared.basis).reshape(-1)
    coupled = matmul(built.coupling, coarse).reshape(len(g), -1)
    return result + matmul(coupled, prepared.basis.T)


def _now_and_then(clock, ratio, last):
    """Often at first, when the curvature changes."""
    return (clock == 0) | (clock == 8) | (clock == 20) | (clock % 100 == 99)


sampled = Curvature(_directions, _blocks, _apply_blocks, _now_and_then, memory=15)


# ------------------------------------------------------------------ shared


class _Spectrum(NamedTuple):
    values: Float[Array, " p"]
    vectors: Float[Array, "p p"]


def _spectrum(problem: Problem) -> _Spectrum:
    return _Spectrum(*jnp.linalg.eigh(_gram(problem)))


def _scaled(prepared: _Spectrum, problem: Problem, loss: Callable, outputs):
    """The mean curvature of the losses takes the place of each."""
    size = mean_of_diagonal(loss, problem, outputs)
    least = jnp.finfo(size.dtype).eps * prepared.values[-1]
    values = size * jnp.maximum(prepared.values, least) + jnp.median(problem.penalty)
    return 1 / jnp.maximum(values, jnp.finfo(size.dtype).tiny)


def _apply_scaled(prepared: _Spectrum, scale, g):
    return matmul(matmul(g, prepared.vectors) * scale[None], prepared.vectors.T)


shared = Curvature(_spectrum, _scaled, _apply_scaled, _now_and_then, memory=8)


# ------------------------------------------------------------------ near


def inverse_there(loss: Callable, problem: Problem, outputs) -> Float[Array, "kp kp"]:
    """H⁻¹ at these outputs, of the examples whose curvature there is a number."""
    h = hessians(loss, problem, outputs)
    return _inverse(_damped(hessian(problem, jnp.where(jnp.isfinite(h), h, 0))))


near = Curvature(
    None,
    lambda inverse, problem, loss, outputs: (),
    lambda inverse, built, g: matmul(inverse, g.reshape(-1)).reshape(g.shape),
    lambda clock, ratio, last: False,
    products=100,
)


def choose(examples: int, outputs: int, columns: int, models: int) -> Curvature:
    """The form for so many examples, outputs, columns, and models that share x."""
    pairs = outputs * (outputs + 1) // 2
    coefficients = outputs * columns
    work = examples * columns**2 * pairs * models
    if coefficients <= (1000 if outputs == 1 else 100) and work <= 3e9:
        return exact
    room = max(examples * outputs**2, outputs * columns**2)  # numbers: of h, and of all blocks
    if models > 1 or (outputs == 1 and room > 1e8):
        return shared
    slow = examples * coefficients > 1e8  # a product with H
    return sampled if outputs == 1 or (slow and room <= 1e8) else alike

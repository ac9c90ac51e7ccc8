"""The curvature of a convex objective, in forms that a machine can afford.

H = Σ_i x_i x_iᵀ ⊗ h_i + diag(λ), where h_i is the Hessian of the loss of example i in its k
outputs. ``exact`` is H itself, for few coefficients. All others only precondition: they need not be
right, only near, and L-BFGS, or products with H, tell the rest. ``mean`` has one inverse for all
outputs, of the Gram matrix of x times their mean curvature. ``diagonal`` has the mean curvature of
every output, and nothing of the size of a matrix. ``gram_after`` begins so, and makes the Gram
matrix, of rows where these are fewer than columns, once it has taken twice as long without as that
costs. ``shared`` has one eigendecomposition of the Gram matrix for many models or penalties.
``sampled_after`` begins like ``diagonal``, too; then it has a block of every output, from the
examples that matter most to it, and what couples the outputs in the directions in which x varies
most. ``near`` has one inverse for all models that end near each other, as the folds of a
cross-validation do.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear import costs, factor
from jaxlinear.data import batching
from jaxlinear.factor import matmul

_SAMPLE = 4096  # examples behind the block of one output, at least
_COUPLED = 16384  # behind what couples the outputs
_DIRECTIONS = 60  # of largest variance, in which outputs are coupled
_COEFFICIENTS = 2000  # of an exact form, at most
_SMALL = 100  # coefficients, of which all digits are wanted
_FEW = 10  # outputs, whose curvature takes a product for each
_PATIENCE = 12  # steps without a matrix, at least: most problems take no more than 20
_QUICK = 2.5e-4  # seconds of a step, in which its small operations count as much as its products
_PRODUCTS = 100  # with H, at most, behind the step that ends the iteration


class Problem(NamedTuple):
    """Σ_i share_i loss(θ x_i, y_i) + ½ Σ λ θ², with columns of x that are alike in size.

    ``share`` are weights that sum to 1; of 0 where an example is not ``present``: None where all
    are. θ is (k, p).
    """

    x: Float[Array, "n p"]
    y: Any
    share: Float[Array, " n"]
    penalty: Float[Array, "k p"]
    present: Bool[Array, " n"] | None = None


class Curvature(NamedTuple):
    """A form of H.

    ``prepare(problem)`` is made once, unless it is given; ``build(prepared, problem, loss,
    outputs)`` from the Hessians of the losses there, at the step number ``clock`` where
    ``due(clock, ratio, last)``: ``ratio`` is what the form promises now, as a part of what it
    promised one step ago, and ``last`` that this is little enough to end. ``begin``, with the
    arguments of ``build``, is what there is before. ``apply(problem, prepared, built, g)`` is about
    H⁻¹ g.

    What the form leaves out is learned from ``memory`` steps by L-BFGS; where it is not even of the
    right size, as ``rescaled`` says, that is learned too. The step that ends the iteration takes up
    to ``products`` with H itself, and so does every step of a form without a memory. Where the end
    is not near after so many ``steps``, ``grow(problem, loss, outputs)`` takes the place of what
    was prepared, and of it is built anew.
    """

    prepare: Callable | None
    build: Callable
    apply: Callable
    begin: Callable | None = None
    due: Callable | None = None
    memory: int = 0
    products: int = 0
    rescaled: bool = False
    grow: Callable | None = None
    steps: int = 0


def hessians(loss: Callable, problem: Problem, outputs) -> Float[Array, "n k k"]:
    """The Hessians of the losses in their outputs, times their shares."""
    return problem.share[:, None, None] * jax.vmap(jax.hessian(loss))(outputs, problem.y)


def mean_curvature(loss: Callable, problem: Problem, outputs) -> Float[Array, " k"]:
    """Σ_i share_i h_i, its diagonal."""
    found = jnp.sum(curvatures(loss, problem, outputs), axis=0)
    if len(found) <= _FEW:
        return found
    # An estimate may come out at nothing, or less.
    return jnp.maximum(found, 1e-3 * jnp.mean(jnp.maximum(found, 0)))


def curvatures(loss: Callable, problem: Problem, outputs) -> Float[Array, "n k"]:
    """The diagonals of share_i h_i, from products alone: there is no room for all of h.

    Of many outputs it is an estimate. The mean of v · h v over vectors v of random signs is the
    diagonal of h (Hutchinson, 1990), and every example has vectors of its own.
    """
    slopes = jax.grad(lambda o: jnp.sum(problem.share * jax.vmap(loss)(o, problem.y)))
    product = jax.linearize(slopes, outputs)[1]
    k = outputs.shape[1]

    def estimate(seed):
        v = _signs(outputs.shape, seed).astype(outputs.dtype)
        return v * product(v)

    def column(unit):
        return matmul(product(jnp.broadcast_to(unit[None], outputs.shape)), unit)

    if k == 1:
        return product(jnp.ones_like(outputs))
    if k <= _FEW:
        return jax.lax.map(column, jnp.eye(k, dtype=outputs.dtype)).T
    return jnp.mean(jax.lax.map(estimate, jnp.arange(4, dtype=jnp.uint32)), axis=0)


def _signs(shape: tuple[int, int], seed):
    """Signs that look random: a hash of the place."""
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return jnp.where(batching.hashed(batching.hashed(place) + seed) >> 31 == 1, 1, -1)


# ------------------------------------------------------------------ exact


class _Root(NamedTuple):
    """H = D L Lᵀ D, with ``inverse`` = diag(D⁻¹), 0 where H is."""

    lower: Float[Array, "d d"]
    inverse: Float[Array, " d"]


def _exactly(
    prepared, problem: Problem, loss: Callable, outputs, *, classes: bool = False
) -> _Root:
    h = hessians(loss, problem, outputs)
    return damped(hessian(problem, _with_sums_of_zero(h) if classes else h))


def _with_sums_of_zero(h: Float[Array, "n k k"]) -> Float[Array, "n k k"]:
    """The Hessians of a loss that does not change with what is added to all outputs.

    Their rows sum to 0. Of a class that is nearly certain, p − p² is all rounding, which would be
    more than the curvature of all other examples; the sum of its products with others is not.
    """
    one = jnp.eye(h.shape[1], dtype=h.dtype)[None]
    others = h * (1 - one)
    return others - jnp.sum(others, axis=2, keepdims=True) * one


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


def damped(matrix) -> _Root:
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


def _solved(built: _Root, g):
    """H⁻¹ g, and 0 where there is no factor."""
    side = (g.reshape(-1) * built.inverse)[:, None]
    inside = _divided(built.lower, _divided(built.lower, side), transposed=True)
    result = (inside[:, 0] * built.inverse).reshape(g.shape)
    return jnp.where(jnp.isfinite(result).all(), result, 0)


def _slower(clock, ratio, last):
    """Not while every step promises less than a tenth of the one before it: Newton's, once near."""
    return last | ~((clock > 0) & (ratio < 0.1))


def inverse_root(root: _Root) -> Float[Array, "d d"]:
    """L⁻¹ D⁻¹, whose square is H⁻¹."""
    return _divided(root.lower, jnp.diag(root.inverse))


def _inverse(root: _Root) -> Float[Array, "d d"]:
    half = inverse_root(root)
    return matmul(half.T, half)


exact = Curvature(
    lambda problem: None,
    _exactly,
    lambda problem, prepared, root, g: _solved(root, g),
    due=_slower,
)
exact_of_classes = exact._replace(build=functools.partial(_exactly, classes=True))


# ------------------------------------------------------------------ diagonal


def _of_diagonal(prepared, problem: Problem, loss: Callable, outputs):
    """The inverse of the diagonal of H, where every column has variance 1."""
    return _sizes(prepared, problem, loss, outputs).diagonal


class _Sizes(NamedTuple):
    """The mean curvature of every output, and the inverse of the diagonal of H."""

    curvature: Float[Array, "k 1"]
    diagonal: Float[Array, "k p"]


def _sizes(prepared, problem: Problem, loss: Callable, outputs) -> _Sizes:
    size = mean_curvature(loss, problem, outputs)[:, None]
    tiny = jnp.finfo(size.dtype).tiny
    return _Sizes(size, 1 / jnp.maximum(size + problem.penalty, tiny))


diagonal = Curvature(
    lambda problem: None,
    _of_diagonal,
    lambda problem, prepared, inverse, g: g * inverse,
    _of_diagonal,
    memory=10,
    products=_PRODUCTS,
    rescaled=True,
)


# ------------------------------------------------------------------ mean


class _Mean(NamedTuple):
    """A factor of c G + Λ, where c is the mean ``curvature`` of all outputs; none until ``made``.

    Or with fewer rows than columns, ``inverse`` = Λ⁻¹ and a factor of I + c Z Λ⁻¹ Zᵀ, where the
    rows of Z are those of x times √share: G = Zᵀ Z.
    """

    factor: _Root | Float[Array, "m m"]
    inverse: Float[Array, " p"] | None
    curvature: Float[Array, ""]
    penalty: Float[Array, ""]
    made: Bool[Array, ""]


def _factored(matrix, outputs: int) -> _Root | Float[Array, "m m"]:
    """A factor; for several outputs the inverse, which meets them in one product."""
    root = damped(matrix)
    return root if outputs == 1 else _inverse(root)


def _divided_by(factored: _Root | Float[Array, "m m"], sides: Float[Array, "k m"]):
    return _solved(factored, sides) if isinstance(factored, _Root) else matmul(sides, factored)


def _gram(problem: Problem) -> Float[Array, "p p"]:
    return matmul((problem.share[:, None] * problem.x).T, problem.x)


def _by_columns(problem: Problem, loss: Callable, outputs) -> _Mean:
    size = jnp.mean(mean_curvature(loss, problem, outputs))
    penalty = jnp.mean(problem.penalty, axis=0)
    matrix = size * _gram(problem) + jnp.diag(penalty)
    found = _factored(matrix, len(problem.penalty))
    return _Mean(found, None, size, jnp.mean(penalty), jnp.array(True))


def _by_rows(problem: Problem, loss: Callable, outputs) -> _Mean:
    """(c Zᵀ Z + Λ)⁻¹ = Λ⁻¹ − c Λ⁻¹ Zᵀ (I + c Z Λ⁻¹ Zᵀ)⁻¹ Z Λ⁻¹, of Woodbury."""
    size = jnp.mean(mean_curvature(loss, problem, outputs))
    penalty = jnp.mean(problem.penalty, axis=0)
    # More than what rounding leaves of the difference.
    least = 100 * jnp.finfo(size.dtype).eps * len(penalty) * size
    inverse = 1 / jnp.maximum(penalty, jnp.maximum(least, jnp.finfo(size.dtype).tiny))
    rows = problem.x * jnp.sqrt(size * problem.share[:, None] * inverse[None])
    matrix = matmul(rows, rows.T) + jnp.eye(len(rows), dtype=rows.dtype)
    # Two triangular solves for a row of 500 take ten times as long as a product with the inverse.
    return _Mean(_inverse(damped(matrix)), inverse, size, jnp.mean(penalty), jnp.array(True))


def _whole(problem: Problem, prepared: _Mean, g):
    """(c G + Λ)⁻¹ g."""
    factored, inverse, curvature, *_ = prepared
    if inverse is None:
        return _divided_by(factored, g)
    root = jnp.sqrt(problem.share)[None]
    inside = _divided_by(factored, matmul(problem.x, (g * inverse[None]).T).T * root)
    return (g - curvature * matmul(inside * root, problem.x)) * inverse[None]


def _inverse_of_mean(prepared, problem: Problem, loss: Callable, outputs) -> Float[Array, "p p"]:
    return _by_columns(problem, loss, outputs).factor


mean = Curvature(
    lambda problem: None,
    _inverse_of_mean,
    lambda problem, prepared, inverse, g: matmul(g, inverse),
    _inverse_of_mean,
    products=_PRODUCTS,
)


# ------------------------------------------------------------------ gram after a while


def _no_gram(by_rows: bool, problem: Problem) -> _Mean:
    (k, p), dtype = problem.penalty.shape, problem.penalty.dtype
    size = len(problem.x) if by_rows else p
    matrix, zero = jnp.zeros((size, size), dtype), jnp.zeros((), dtype)
    found = matrix if by_rows or k > 1 else _Root(matrix, jnp.zeros(size, dtype))
    inverse = jnp.zeros(p, dtype) if by_rows else None
    return _Mean(found, inverse, zero, zero, jnp.array(False))


def _apply_mean(problem: Problem, prepared: _Mean, built: _Sizes, g):
    def whole(g):
        # What an output's own curvature makes of it.
        part = prepared.curvature + prepared.penalty
        return _whole(problem, prepared, g) * part / (built.curvature + prepared.penalty)

    return jax.lax.cond(prepared.made, whole, lambda g: g * built.diagonal, g)


@functools.cache
def gram_after(steps: int, *, by_rows: bool = False) -> Curvature:
    """The form that makes a Gram matrix, of columns or of rows, after so many steps without."""
    return Curvature(
        functools.partial(_no_gram, by_rows),
        _sizes,
        _apply_mean,
        _sizes,
        memory=10,
        products=_PRODUCTS,
        rescaled=True,
        grow=_by_rows if by_rows else _by_columns,
        steps=steps,
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


def _diagonal_as_blocks(prepared, problem: Problem, loss: Callable, outputs) -> _Sampled:
    """The diagonal of H at first: most problems are at their end before blocks would pay."""
    shape = jax.eval_shape(functools.partial(_blocks, prepared, problem, loss), outputs)
    inverse = _of_diagonal(prepared, problem, loss, outputs)
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
    coupling = _inverse(damped(hessian(problem._replace(x=x[index], penalty=weights), drawn)))
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
def sampled_after(steps: int) -> Curvature:
    """The form that makes its blocks after so many steps, and again after as many."""
    return Curvature(
        _directions,
        _blocks,
        _apply_blocks,
        _diagonal_as_blocks,
        lambda clock, ratio, last: (clock % 100 == steps) | (clock == 2 * steps),
        memory=15,
        products=_PRODUCTS,
        rescaled=True,
    )


# ------------------------------------------------------------------ shared


class _Spectrum(NamedTuple):
    values: Float[Array, " p"]
    vectors: Float[Array, "p p"]


def _spectrum(problem: Problem) -> _Spectrum:
    return _Spectrum(*jnp.linalg.eigh(_gram(problem)))


def _scaled(prepared: _Spectrum, problem: Problem, loss: Callable, outputs):
    """The mean curvature of every output takes the place of that of every example."""
    size = mean_curvature(loss, problem, outputs)[:, None]
    least = jnp.finfo(size.dtype).eps * prepared.values[-1]
    values = size * jnp.maximum(prepared.values, least)[None] + jnp.median(problem.penalty)
    return 1 / jnp.maximum(values, jnp.finfo(size.dtype).tiny)


def _apply_scaled(problem: Problem, prepared: _Spectrum, scale, g):
    return matmul(matmul(g, prepared.vectors) * scale, prepared.vectors.T)


def _now_and_then(clock, ratio, last):
    """Often at first, when the curvature changes."""
    return (clock == 0) | (clock == 8) | (clock == 20) | (clock % 100 == 99)


shared = Curvature(
    _spectrum, _scaled, _apply_scaled, due=_now_and_then, memory=8, products=_PRODUCTS
)


# ------------------------------------------------------------------ near


def inverse_there(loss: Callable, problem: Problem, outputs) -> Float[Array, "kp kp"]:
    """H⁻¹ at these outputs, of the examples whose curvature there is a number."""
    h = hessians(loss, problem, outputs)
    return _inverse(damped(hessian(problem, jnp.where(jnp.isfinite(h), h, 0))))


def _nothing_more(inverse, problem: Problem, loss: Callable, outputs) -> tuple:
    return ()


near = Curvature(
    None,
    _nothing_more,
    lambda problem, inverse, built, g: matmul(inverse, g.reshape(-1)).reshape(g.shape),
    _nothing_more,
    products=_PRODUCTS,
)


# ------------------------------------------------------------------ the choice


def choose(examples: int, outputs: int, columns: int, models: int, fits: int = 1) -> Curvature:
    """The form for so many examples, outputs, columns, models that share x, and fits of each."""
    pairs = outputs * (outputs + 1) // 2
    coefficients = outputs * columns
    step = costs.step(examples, columns, outputs * models)
    gram = costs.gram(examples, columns)
    newton = step + models * (pairs * gram + costs.cholesky(coefficients))
    later = gram + costs.cholesky(columns)
    # Six steps of Newton's end nearer to the optimum than L-BFGS, which is worth some time.
    worth = 3 if coefficients <= _SMALL else 1
    others = worth * min(30 * step, models * later + 12 * step)
    if coefficients <= _COEFFICIENTS and 6 * newton <= others:
        return exact
    if models == 1 and outputs > 1 and step <= _QUICK and later <= 6 * step:
        return mean
    if models > 1 or fits > 1:
        return shared if gram + costs.eigh(columns) <= 15 * fits * step else diagonal
    room = max(examples * outputs**2, outputs * columns**2)  # numbers: of h, and of all blocks
    if outputs > 1 and room <= 1e8 and step > 2e-3:
        steps = max(_PATIENCE, round(_cost_of_sampled(outputs, columns) / step / 2))
        if steps <= 30:
            return sampled_after(steps)
    by_rows = examples < columns
    short, long = sorted((examples, columns))
    later = costs.gram(long, short) + costs.cholesky(short)
    if by_rows:  # an inverse, and then two products with it in every step, of two passes over x
        later += 3 * costs.cholesky(short) + _PATIENCE * 2 * step
    steps = max(_PATIENCE, round(2 * later / step))
    return gram_after(steps, by_rows=by_rows) if steps <= 400 else diagonal


def _cost_of_sampled(outputs: int, columns: int) -> float:
    """The seconds that the blocks take, and what couples them; an inverse takes four factors."""
    pairs, directions = outputs * (outputs + 1) // 2, min(_DIRECTIONS, columns)
    block = costs.gram(max(_SAMPLE, 4 * columns), columns) + 4 * costs.cholesky(columns)
    coupling = pairs * costs.gram(_COUPLED, directions) + 4 * costs.cholesky(outputs * directions)
    return outputs * block + coupling

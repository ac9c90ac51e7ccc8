"""Sufficient statistics of least squares: small, mergeable, and all that a fit needs.

A ``Gram`` of n examples is of the size of d × (d + k), whatever n is. Those of chunks, folds,
devices and hosts are merged by the parallel-variance formula (Chan, Golub and LeVeque, 1983):
products are centred before they are summed, so that nothing cancels.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import _checks, factor, implicit
from jaxlinear.data import batching
from jaxlinear.factor import Factor, matmul
from jaxlinear.objective import readable, relative, weighted_mean, where_present
from jaxlinear.types import Batch, Examples, Fit, Linear, Report, Rows, Status, Units

_ROWS = 4096


class Gram(NamedTuple):
    """The statistics of a batch: weighted sums over its examples of weight > 0.

    ``weight`` is Σ w, ``count`` the number of examples, ``mean_x`` and ``mean_y`` the weighted
    means, ``xx`` = Σ w (x − x̄)(x − x̄)ᵀ, ``xy`` = Σ w (y − ȳ)(x − x̄)ᵀ, outputs first, and ``yy`` =
    Σ w (y − ȳ)². Where every target has examples of its own (see ``of``), all of them have a
    leading axis of targets.
    """

    weight: Float[Array, "*k"]
    count: Float[Array, "*k"]
    mean_x: Float[Array, "*k d"]
    mean_y: Float[Array, "*outputs"]
    xx: Float[Array, "*k d d"]
    xy: Float[Array, "*outputs d"]
    yy: Float[Array, "*outputs"]


def of(x, y, weight=None) -> Gram:
    """The statistics of examples x (n, d) and targets y (n,) or (n, k).

    ``weight`` is (n,), or (n, k) where every target has its own. A NaN in y means that this
    target is missing for this example, which has then weight 0; for y (n, k) this gives every
    target a Gram of its own. (Under ``jit`` NaNs are not seen: pass
    ``weight=~jnp.isnan(y)`` there.) Digits that float32 cannot hold are refused, as in
    ``least_squares``; for chunks, subtract the same origin from all.

    >>> x, y = jnp.eye(3), jnp.array([1.0, 2.0, 3.0])
    >>> halves = of(x[:2], y[:2]), of(x[2:], y[2:])
    >>> bool(jnp.allclose(merge(*halves).xx, of(x, y).xx))
    True
    """
    batch, sound = _checks.examples_with_missing(x, y, weight)
    return _of(batch, sound)


@jax.jit
def _of(batch: Batch, sound) -> Gram:
    if batch.weight is not None and batch.weight.ndim == 2:
        columns = (batch.y.T, batch.weight.T)
        gram = jax.lax.map(lambda column: of_batch(Batch(batch.x, *column)), columns)
    else:
        gram = of_batch(batch)
    # Unsound examples end in NaN, and a fit from them in NONFINITE_INPUT.
    return gram._replace(weight=jnp.where(sound, gram.weight, jnp.nan))


def of_batch(batch: Rows) -> Gram:
    """The statistics of a batch that has been checked, block by block so that memory is bounded.

    Products are summed around a guess at the mean, and moved to the mean at the end.
    """
    guess = guess_of_means(batch)

    def sums(block):
        block = readable(block)
        x, y = (away_from(block, name, center) for name, center in guess._asdict().items())
        ones = jnp.ones((len(x), 1), x.dtype)
        weight = ones if block.weight is None else block.weight[:, None].astype(x.dtype)
        sides = jnp.concatenate([y, ones], axis=1)
        weighted = sides if block.weight is None else weight * sides
        left = x if block.weight is None else weight * x
        return (
            jnp.stack([jnp.sum(weight), jnp.sum(weight != 0).astype(x.dtype)]),
            _upper_strips(left, x),
            matmul(weighted.T, x),
            jnp.sum(weighted * sides, axis=0),
            jnp.sum(weighted, axis=0),
        )

    def add(total, block):
        return jax.tree.map(jnp.add, total, sums(block))

    (weight, count), strips, xy, yy, y = batching.fold(sums, add, batch, _ROWS)
    shape = batch.y.shape[1:]
    around = Gram(
        weight,
        count,
        xy[-1] / jnp.where(weight == 0, 1, weight),
        (y[:-1] / jnp.where(weight == 0, 1, weight)).reshape(shape),
        _from_upper_strips(strips),
        xy[:-1].reshape(*shape, -1),
        yy[:-1].reshape(shape),
    )
    mean_x, mean_y = guess.x + around.mean_x, guess.y + around.mean_y
    return _moved(around, -1)._replace(mean_x=mean_x, mean_y=mean_y)


def _upper_strips(left, right) -> list:
    """leftᵀ right, which is symmetric, in strips of rows without what lies below them.

    Four strips save three eighths of the work; a product narrower than this gains nothing.
    """
    d = right.shape[1]
    size = -(-d // 4) if d >= 256 else d
    return [matmul(left[:, i : i + size].T, right[:, i:]) for i in range(0, d, size)]


def _from_upper_strips(strips: list) -> Float[Array, "d d"]:
    d = strips[0].shape[1]
    upper = jnp.concatenate([jnp.pad(s, ((0, 0), (d - s.shape[1], 0))) for s in strips])
    return jnp.triu(upper) + jnp.triu(upper, 1).T


class Means(NamedTuple):
    """The means of x (d,) and y () or (k,)."""

    x: Float[Array, " d"]
    y: Float[Array, "*k"]


def away_from(batch: Rows, name: str, center):
    """The rows of x, or of y as (n, k), counted from a center."""
    rows = _in_units(batch, name).astype(center.dtype)
    return rows.reshape(len(rows), -1) - center.reshape(1, -1)


def mean(batch: Rows, name: str):
    """The mean of x, or of y, counted from a guess: it is right to the last digit."""
    guess = guess_of_mean(batch, name)
    batch = readable(batch)
    away = weighted_mean(away_from(batch, name, guess), batch.weight)
    return guess + away.reshape(guess.shape)


def guess_of_means(batch: Rows) -> Means:
    """The means of some thousand rows throughout the batch."""
    return Means(guess_of_mean(batch, "x"), guess_of_mean(batch, "y"))


def guess_of_mean(batch: Rows, name: str):
    """The mean of some thousand rows.

    Counted from one of the rows: a constant column has its constant to the last digit.
    """
    sample = _sample(batch)
    first = 0 if batch.weight is None else jnp.argmax(batch.weight != 0)
    base = _in_units(jax.lax.stop_gradient(batch), name, first).astype(floating_dtype(batch.x))
    if batch.weight is not None:
        base = jnp.where(jax.lax.stop_gradient(batch.weight)[first] != 0, base, 0)
    away = weighted_mean(away_from(sample, name, base), sample.weight)
    return base + away.reshape(base.shape)


def _sample(batch: Rows) -> Rows:
    """Some thousand rows throughout the batch."""
    step = -(-len(batch.x) // 1024)
    return readable(batching.of_rows(lambda rows: jax.lax.stop_gradient(rows)[::step], batch))


def floating_dtype(x):
    """The dtype in which the sums over x are taken: half precision is widened."""
    dtype = jnp.result_type(float) if x.dtype == jnp.uint8 else x.dtype
    return jnp.promote_types(dtype, jnp.float32)


def floating(x):
    """x in that dtype, bytes scaled to [0, 1]."""
    return (
        x.astype(floating_dtype(x)) / 255 if x.dtype == jnp.uint8 else x.astype(floating_dtype(x))
    )


# ------------------------------------------------------------------ units


def examples(batch: Batch, intercept: bool, l2, *, common: bool) -> Examples:
    """The batch in units of its own; ``common`` to all columns where all have one penalty."""
    batch = batch._replace(weight=relative(batch.weight))
    x, y = (_size(batch, name, intercept) for name in ("x", "y"))
    if common:  # between the largest and the least, whose squares differ as little as may be
        least = jnp.min(jnp.where(x == 0, jnp.inf, x))
        middle = jnp.sqrt(jnp.max(x)) * jnp.sqrt(jnp.where(jnp.isinf(least), 0, least))
        x = jnp.full_like(x, middle)
    # Or the penalty on a tiny column overflows.
    x = jnp.maximum(x, 1e-9 * jnp.sqrt(jnp.max(jax.lax.stop_gradient(jnp.asarray(l2)))))
    x = jnp.ones_like(x) if batch.x.dtype == jnp.uint8 else factor.power_of_two(x)
    return Examples(*batch, Units(x, factor.power_of_two(jnp.max(y))))


def _size(batch: Rows, name: str, intercept: bool):
    """How far the rows lie from their mean, or from 0, as some of them tell."""
    mean = guess_of_mean(batch, name)
    sample = _sample(batch)

    def farthest(center):
        rows = where_present(sample.weight, away_from(sample, name, center))
        return jnp.max(jnp.abs(rows), axis=0)

    spread = farthest(mean if intercept else jnp.zeros_like(mean))
    return jnp.where(spread == 0, jnp.abs(mean).reshape(spread.shape), spread)


def _in_units(batch: Rows, name: str, row=slice(None)):
    """The rows of x or y, or one of them, floating, and counted in units where they have some."""
    rows = floating(getattr(batch, name)[row])
    if not isinstance(batch, Examples):
        return rows
    unit = getattr(batch.units, name)
    return rows / unit.reshape(*[1] * (rows.ndim - unit.ndim), *unit.shape).astype(rows.dtype)


def in_units(examples: Examples) -> Batch:
    """The examples as a batch: a copy."""
    if examples.x.dtype == jnp.uint8:
        return Batch(examples.x, _in_units(examples, "y"), examples.weight)
    return Batch(*(_in_units(examples, name) for name in ("x", "y")), examples.weight)


def penalty(l2, units: Units):
    """The penalties (1, d) or (k, d) of columns that are counted in units."""
    inverse = 1 / units.x[None]  # the compiler divides once, by the product: 0 or inf
    return jnp.reshape(l2, (-1, 1)) * inverse * inverse


def from_units(fit: Fit, units: Units) -> Fit:
    """The fit of the data as they came; no number where the dtype has no room for a coefficient."""
    w, b = fit.params
    ratio = (units.y / units.x).reshape(*[1] * (w.ndim - 1), -1)
    found = jnp.where((w == 0) & jnp.isinf(ratio), 0, w * ratio)
    lost = jnp.where(w == 0, 0, jnp.abs(found / ratio - w))
    room = jnp.all(lost <= jnp.sqrt(jnp.finfo(w.dtype).eps) * jnp.max(jnp.abs(w)))
    report = fit.report
    sound = room & jnp.isfinite(b * units.y).all()
    failed = ~sound & (report.status != Status.NONFINITE_INPUT)
    return Fit(
        Linear(found, b * units.y),
        report._replace(
            status=jnp.where(failed, jnp.int32(Status.NONFINITE_INPUT), report.status),
            objective=report.objective * units.y * units.y,
            gradient_norm=report.gradient_norm * jnp.max(units.x) * units.y,
        ),
    )


# ------------------------------------------------------------------ merging


def merge(a: Gram, b: Gram) -> Gram:
    """The statistics of the examples of both.

    Where one has targets with examples of their own, so has the result.
    """
    if a.xx.ndim != b.xx.ndim and a.mean_y.ndim == b.mean_y.ndim == 1:
        a, b = _per_target(a), _per_target(b)
    if jax.tree.map(jnp.shape, a) != jax.tree.map(jnp.shape, b):
        raise ValueError(
            f"the Grams are of {_shape_of(a)} and {_shape_of(b)}; expected the same features and "
            "targets."
        )
    return _merge(a, b)


@jax.jit
def _merge(a: Gram, b: Gram) -> Gram:
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), a, b)
    return pool(both)


def pool(grams: Gram) -> Gram:
    """The statistics of all examples, from a stack of Grams (a leading axis on every leaf)."""
    return jax.vmap(lambda gram: psum(gram, "parts"), axis_name="parts", out_axes=None)(grams)


def psum(gram: Gram, axis_name: str) -> Gram:
    """The statistics of the examples of all devices, inside ``jax.shard_map`` or ``jax.vmap``."""
    if gram.xx.ndim == 3:
        return jax.vmap(lambda gram: _psum(gram, axis_name))(gram)
    return _psum(gram, axis_name)


def _psum(gram: Gram, axis_name: str) -> Gram:
    total = functools.partial(jax.lax.psum, axis_name=axis_name)
    weight = total(gram.weight)
    share = gram.weight / jnp.where(weight == 0, 1, weight)

    def mean(part):
        # Counted from one of the means: equal means stay equal to the last digit.
        present = jax.lax.stop_gradient(jnp.where(gram.weight == 0, jnp.inf, part))
        least = jax.lax.pmin(present, axis_name)
        base = jnp.where(jnp.isinf(least), 0, least)
        return base + total(share * (part - base))

    mean_x, mean_y = mean(gram.mean_x), mean(gram.mean_y)
    dx, dy = gram.mean_x - mean_x, gram.mean_y - mean_y
    outer = dy[..., None] * dx.reshape(*[1] * dy.ndim, -1)
    return Gram(
        weight,
        total(gram.count),
        mean_x,
        mean_y,
        total(gram.xx + gram.weight * dx[:, None] * dx[None, :]),
        total(gram.xy + gram.weight * outer),
        total(gram.yy + gram.weight * jnp.square(dy)),
    )


def uncentred(gram: Gram) -> Gram:
    """The statistics around 0 instead of the means, for fits without an intercept."""
    moved = _moved(gram, 1)
    return moved._replace(mean_x=jnp.zeros_like(gram.mean_x), mean_y=jnp.zeros_like(gram.mean_y))


def _moved(gram: Gram, sign: int) -> Gram:
    """Products around the means moved (1) to those around 0, or back (-1): Steiner's theorem."""
    mean_x, mean_y = gram.mean_x, gram.mean_y
    amount = sign * gram.weight
    outer = mean_y[..., None] * mean_x.reshape(*[1] * mean_y.ndim, -1)
    return gram._replace(
        xx=gram.xx + amount * mean_x[:, None] * mean_x[None, :],
        xy=gram.xy + amount * outer,
        yy=gram.yy + amount * jnp.square(mean_y),
    )


def ridge(gram: Gram, l2=0.0, *, intercept: bool = True) -> Fit:
    """The fit of ``jaxlinear.ridge`` from statistics alone; l2 is a number, or (k,).

    The rounding of the products hides directions of x whose singular values are below √eps of
    the largest: those count as absent where l2 is 0 (RANK_DEFICIENT). Where every target has
    examples of its own, the report has an entry for each target. Differentiable in ``gram`` and
    ``l2``, in either mode and to any order.

    >>> x = jnp.array([[0.0], [1.0], [2.0]])
    >>> print(ridge(of(x, 3 * x[:, 0] + 1)).params.w.round(5))
    [3.]
    """
    outputs = gram.mean_y.shape
    if not _checks.is_traced(gram) and not np.any(np.asarray(gram.weight) != 0):
        raise ValueError("the Gram has no examples; expected at least one of weight > 0.")
    l2 = _checks.number(l2, "l2", gram.xx.dtype, shape=outputs)
    return _ridge(gram, l2, intercept=intercept)


@functools.partial(jax.jit, static_argnames="intercept")
def _ridge(gram: Gram, l2, *, intercept: bool) -> Fit:
    if gram.xx.ndim == 3:
        l2 = jnp.broadcast_to(l2, gram.mean_y.shape)
        return jax.vmap(functools.partial(_ridge, intercept=intercept))(gram, l2)
    gram = gram if intercept else uncentred(gram)
    fit = fit_from(gram, gram.weight * jnp.reshape(l2, (-1, 1)), stopped_factor(gram, l2))
    # Squares overflow before x does: sound statistics may hold inf.
    overflow = jnp.isfinite(gram.weight) & (gram.weight != 0)
    overflow &= fit.report.status == Status.NONFINITE_INPUT
    status = jnp.where(overflow, jnp.int32(Status.DIVERGED), fit.report.status)
    return fit._replace(report=fit.report._replace(status=status))


def stopped_factor(gram: Gram, l2) -> Factor:
    """The factor of xx + α I, α = l2 Σ w, which no derivative passes through."""
    xx, alpha = jax.lax.stop_gradient((gram.xx, gram.weight * l2))
    if alpha.ndim:
        return factor.shifted(factor.spectrum(xx), alpha)
    matrix = xx + alpha * jnp.eye(len(xx), dtype=xx.dtype)
    made = factor.cholesky(matrix)
    return factor.when(~factor.reliable(made), factor.from_eigenvalues, matrix, made)


def fit_from(gram: Gram, alpha, made: Factor) -> Fit:
    """The fit of a centred Gram with the factor at hand, and α (1 or k, 1 or d)."""
    sides = jnp.atleast_2d(gram.xy)
    data = (gram.xx, sides, alpha)
    made = jax.lax.stop_gradient(made)
    w = factor.solve(made, jax.lax.stop_gradient(sides))
    w = implicit.optimum(_gradient, factor.solve, w, made, data).reshape(gram.xy.shape)
    b = gram.mean_y - matmul(w, gram.mean_x)
    return Fit(Linear(w, b), report_of(gram, alpha, made, w))


def _gradient(w, data):
    xx, xy, alpha = data
    return matmul(w, xx) + alpha * w - xy


def report_of(gram: Gram, alpha, made: Factor, w) -> Report:
    """The report of a solution that was computed from the statistics alone."""
    rows = jnp.atleast_2d(w)
    data = (gram.xx, jnp.atleast_2d(gram.xy), alpha)
    gradient = _gradient(rows, data)
    # ½ (yy − w xy + w (w xx + α w − xy)): two terms that are small each, not three large ones.
    squares = jnp.sum(gram.yy) - jnp.sum(rows * data[1]) + jnp.sum(rows * gradient)
    objective = jnp.maximum(squares, 0) / 2 / gram.weight
    norm = factor.norm(gradient / gram.weight)
    finite = jnp.isfinite(objective + norm) & (gram.weight != 0)
    short = jnp.min(made.rank) < gram.xx.shape[-1]
    status = status_of(finite, short, factor.reliable(made))
    return Report(status, jnp.int32(1), objective, norm, jnp.min(made.rank))


def status_of(sound, short, right):
    """The status of an exact fit: ``short`` of rank, ``right`` to the digits promised."""
    return jnp.select(
        [~sound, short, ~right],
        [
            jnp.int32(code)
            for code in (
                Status.NONFINITE_INPUT,
                Status.RANK_DEFICIENT,
                Status.STALLED_AT_PRECISION,
            )
        ],
        jnp.int32(Status.CONVERGED),
    )


def _per_target(gram: Gram) -> Gram:
    if gram.xx.ndim == 3:
        return gram
    k = gram.mean_y.shape[0]
    shared = {
        name: jnp.broadcast_to(leaf, (k, *jnp.shape(leaf)))
        for name in ("weight", "count", "mean_x", "xx")
        for leaf in [getattr(gram, name)]
    }
    return gram._replace(**shared)


def _shape_of(gram: Gram) -> str:
    return f"x (…, {gram.mean_x.shape[-1]}) and y (…{''.join(f', {k}' for k in gram.mean_y.shape)})"

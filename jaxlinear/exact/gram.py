"""Sufficient statistics of least squares: computed from chunks of data, merged, and fitted.

See ``statistics`` for what they are. The Grams of chunks, folds, devices or hosts are merged by
the parallel-variance formula (Chan, Golub and LeVeque, 1983).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.endings import shaped
from jaxlinear.exact import spectral, statistics
from jaxlinear.exact.normal_equations import fit_from, stopped_factor
from jaxlinear.exact.statistics import Gram
from jaxlinear.rows.stream import Passes, in_pairs
from jaxlinear.types import Batch, Fit, Status

__all__ = ["Gram", "merge", "of", "of_batch", "of_stream", "pool", "psum", "ridge", "ridge_path"]


def of(x, y, weight=None) -> Gram:
    """The statistics of examples x (n, d) and targets y (n,) or (n, k).

    ``weight`` is (n,), or (n, k) where every target has its own. A NaN in y means that this
    target is missing for this example, whose weight is then 0; for y (n, k) this gives every
    target a Gram of its own. (Under ``jit`` NaNs in y (n, k) are not recognised: pass
    ``weight=~jnp.isnan(y)`` there.) Numbers whose digits float32 cannot hold are refused, as in
    ``least_squares``; for chunks, subtract the same origin from all.

    >>> x, y = jnp.eye(3), jnp.array([1.0, 2.0, 3.0])
    >>> halves = of(x[:2], y[:2]), of(x[2:], y[2:])
    >>> bool(jnp.allclose(merge(*halves).xx, of(x, y).xx))
    True
    """
    batch, sound = checks.examples_with_missing(x, y, weight)
    return _of(batch, sound)


def of_stream(stream) -> Gram:
    """The statistics of the rows of a stream, in one pass: ``of`` of all of them, to rounding.

    ``stream`` is what ``jl.data.stream`` makes, an iterable of ``Batch``, or a function that
    returns one. Memory does not grow with the rows: a block is added while the next is read. The
    Grams of blocks are merged in pairs, and pairs of pairs. Raises ValueError or TypeError for
    what ``of`` refuses, with the number of the block, for a missing target, and for an empty
    stream.

    >>> blocks = [Batch(jnp.eye(3), jnp.ones(3)), Batch(jnp.ones((2, 3)), jnp.zeros(2))]
    >>> print(of_stream(blocks).count, ridge(of_stream(blocks), 0.1).params.w.shape)
    5.0 (3,)
    """
    return in_pairs(_merge, map(of_batch, Passes(stream, "real")))


def of_batch(batch: Batch) -> Gram:
    """``of`` a batch that has been checked."""
    return _of(batch, np.True_)


@jax.jit
def _of(batch: Batch, sound) -> Gram:
    def of_columns(y, weight):
        return statistics.of_batch(Batch(batch.x, y.reshape(len(y), -1), weight))

    if batch.weight is not None and batch.weight.ndim == 2:
        columns = (batch.y.T, batch.weight.T)
        gram = jax.lax.map(lambda column: _shaped(of_columns(*column), ()), columns)
    else:
        gram = _shaped(of_columns(batch.y, batch.weight), batch.y.shape[1:])
    # Unsound examples end in NaN, and a fit from them in NONFINITE_INPUT.
    return gram._replace(weight=jnp.where(sound, gram.weight, jnp.nan))


def _shaped(gram: Gram, outputs: tuple[int, ...]) -> Gram:
    return gram._replace(
        mean_y=gram.mean_y.reshape(outputs),
        xy=gram.xy.reshape(*outputs, gram.xy.shape[-1]),
        yy=gram.yy.reshape(outputs),
    )


def merge(a: Gram, b: Gram) -> Gram:
    """The statistics of the examples of both.

    Where the targets of one have examples of their own, so have those of the result.
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
        # Relative to one of the means, so that equal means stay equal to the last digit.
        present = jax.lax.stop_gradient(jnp.where(gram.weight == 0, jnp.inf, part))
        least = jax.lax.pmin(present, axis_name)
        base = jnp.where(jnp.isinf(least), 0, least)
        return base + total(share * (part - base))

    mean_x, mean_y = mean(gram.mean_x), mean(gram.mean_y)
    dx, dy = gram.mean_x - mean_x, gram.mean_y - mean_y
    return Gram(
        weight,
        total(gram.count),
        mean_x,
        mean_y,
        total(gram.xx + gram.weight * dx[:, None] * dx[None, :]),
        total(gram.xy + gram.weight * jnp.multiply.outer(dy, dx)),
        total(gram.yy + gram.weight * jnp.square(dy)),
    )


def ridge(gram: Gram, l2=0.0, *, intercept: bool = True) -> Fit:
    """The fit of ``jaxlinear.ridge`` from statistics alone; l2 is a number, or (k,).

    The rounding of the products hides directions of x whose singular values are below √eps of
    the largest: where l2 is 0 these count as 0 (RANK_DEFICIENT). Where every target has
    examples of its own, the report has an entry for each target. Differentiable in ``gram`` and
    ``l2``, in either mode and to any order.

    >>> x = jnp.array([[0.0], [1.0], [2.0]])
    >>> print(ridge(of(x, 3 * x[:, 0] + 1)).params.w.round(5))
    [3.]
    """
    outputs = gram.mean_y.shape
    _require_examples(gram)
    l2 = checks.number(l2, "l2", gram.xx.dtype, shape=outputs)
    return _ridge(gram, l2, intercept=intercept)


@functools.partial(jax.jit, static_argnames="intercept")
def _ridge(gram: Gram, l2, *, intercept: bool) -> Fit:
    if gram.xx.ndim == 3:
        l2 = jnp.broadcast_to(l2, gram.mean_y.shape)
        return jax.vmap(functools.partial(_ridge, intercept=intercept))(gram, l2)
    outputs = gram.mean_y.shape
    gram = _shaped(gram, (-1,))
    gram = gram if intercept else statistics.uncentred(gram)
    fit = fit_from(gram, gram.weight * jnp.reshape(l2, (-1, 1)), stopped_factor(gram, l2))
    # Squares overflow before x does: sound statistics may hold inf.
    overflow = jnp.isfinite(gram.weight) & (gram.weight != 0)
    overflow &= fit.report.status == Status.NONFINITE_INPUT
    status = jnp.where(overflow, jnp.int32(Status.DIVERGED), fit.report.status)
    return Fit(shaped(fit.params, outputs), fit.report._replace(status=status))


def ridge_path(gram: Gram, l2s, *, intercept: bool = True) -> Fit:
    """``ridge`` at every one of l2s (m,), from one eigendecomposition; ``Fit`` stacked over l2s.

    ``jaxlinear.ridge_path`` from statistics alone.

    >>> x = jnp.array([[-1.0], [0.0], [1.0]])
    >>> print(ridge_path(of(x, 3 * x[:, 0]), [0.0, 2 / 3]).params.w.round(5))
    [[3. ]
     [1.5]]
    """
    _require_examples(gram)
    if gram.xx.ndim == 3:
        raise ValueError("every target of the Gram has examples of its own; use ridge for each l2.")
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", gram.xx.dtype))
    return _ridge_path(gram, l2s, intercept=intercept)


@functools.partial(jax.jit, static_argnames="intercept")
def _ridge_path(gram: Gram, l2s, *, intercept: bool) -> Fit:
    decomposition = spectral.primal(_shaped(gram, (-1,)), intercept)
    fits = jax.vmap(lambda l2: spectral.fit(decomposition, l2))(l2s)
    return fits._replace(params=shaped(fits.params, gram.mean_y.shape))


def _require_examples(gram: Gram) -> None:
    if checks.is_known(gram) and not np.any(np.asarray(gram.weight) != 0):
        raise ValueError("the Gram has no examples; expected at least one of weight > 0.")


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

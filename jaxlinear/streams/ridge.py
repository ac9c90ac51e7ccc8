"""Ridge over a stream with the penalty chosen by cross-validation: a Gram for every fold."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.choice import CrossValidation, least
from jaxlinear.endings import unless_blind
from jaxlinear.exact import gram
from jaxlinear.linalg.products import matmul
from jaxlinear.model.affine import predict
from jaxlinear.rows.stream import Passes, added, in_pairs
from jaxlinear.types import Batch, Linear


def ridge_cv(stream, l2s, *, folds: int = 5, intercept: bool = True) -> CrossValidation:
    """``jl.ridge_cv`` of the rows of a stream: choose l2 among l2s (m,), and fit all rows with it.

    Blocks are dealt out to the folds in turn, so there must be at least as many (see ``size`` of
    ``jl.data.stream``); rows whose order means something, as in time, stay together in blocks. A
    first pass makes a Gram of every fold, from which the fits to all others follow; a second one
    the errors of the rows that these did not see. The fit is ``jl.gram.ridge`` of all.

    >>> x = np.linspace(-1, 1, 50)[:, None].astype(np.float32)
    >>> blocks = [jl.Batch(x[i::5], 3 * x[i::5, 0]) for i in range(5)]
    >>> print(ridge_cv(jl.data.stream(blocks, size=10), [1e-3, 1e-1, 10.0]).l2)
    0.001
    """
    folds = checks.count(folds, "folds")
    passes = Passes(stream, "real")
    grams = _grams(passes, folds)
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", grams[0].xx.dtype))
    others = [
        gram.ridge_path(_merged(grams[:fold] + grams[fold + 1 :]), l2s, intercept=intercept).params
        for fold in range(folds)
    ]
    squares = (_squares(others[number % folds], block) for number, block in enumerate(passes))
    everything = _merged(grams)
    scores = in_pairs(added, squares) / everything.weight
    compared = scores.reshape(len(l2s), -1).mean(axis=1)
    place, blind = least(compared, l2s)
    fit = gram.ridge(everything, l2s[place], intercept=intercept)
    return CrossValidation(unless_blind(fit, blind), l2s[place], scores)


def _grams(passes: Passes, folds: int) -> list[gram.Gram]:
    """The Gram of every fold."""
    grams = [None] * folds
    for number, block in enumerate(passes):
        new = jax.block_until_ready(gram.of_batch(block))
        old = grams[number % folds]
        grams[number % folds] = new if old is None else gram.merge(old, new)
    found = [of_fold for of_fold in grams if of_fold is not None]
    if len(found) < max(folds, 2):
        raise ValueError(
            f"the stream has {len(found)} blocks and folds is {folds}; expected at least as many "
            f"blocks, and two folds. Pass size={max(passes.rows // (4 * folds), 1)} to "
            "jl.data.stream, for example."
        )
    return grams


def _merged(grams: list[gram.Gram]) -> gram.Gram:
    return functools.reduce(gram.merge, grams)


@jax.jit
def _squares(path: Linear, block: Batch) -> Float[Array, "m *k"]:
    """Σ w (o − y)² over the rows of a block, for every penalty."""

    def of_one(params: Linear):
        return matmul(block.weight, jnp.square(predict(params, block.x) - block.y))

    return jax.lax.map(of_one, path)

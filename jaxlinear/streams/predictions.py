"""Predictions for rows that no memory holds, and the means of their errors."""

from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.model import affine
from jaxlinear.model import metrics as known
from jaxlinear.rows.stream import Passes, of, rows_of
from jaxlinear.types import Linear

_MEANS = ("accuracy", "brier", "deviance", "log_loss", "mae", "mean", "mse")  # over examples


def predict(params: Linear, stream, *, decide: Callable = affine.predict) -> Iterator:
    """The outputs of every batch, one batch after another, as arrays of NumPy.

    ``stream`` is as in ``glm``; its batches may also be arrays x (n, d) alone. ``decide(params,
    x)`` is ``jl.predict``, ``jl.probabilities`` or ``jl.labels``. Rows of weight 0 have outputs
    too. Raises ValueError where x is not (n, d) or holds NaN or inf, with the number of the block.

    >>> blocks = [np.ones((3, 2)), np.zeros((1, 2))]
    >>> params = jl.Linear(jnp.array([1.0, 2.0]), jnp.array(0.5))
    >>> print(*predict(params, blocks))
    [3.5 3.5 3.5] [0.5]
    """
    for number, batch in enumerate(of(stream)):
        x = batch[0] if isinstance(batch, tuple) else batch
        try:
            yield _by_parts(params, x, decide)
        except (ValueError, TypeError) as error:
            raise type(error)(f"block {number} of the stream: {error}") from error


def _by_parts(params: Linear, x, decide: Callable) -> np.ndarray:
    """In parts of few different sizes, for each of which a program is compiled."""
    size = rows_of(np.shape(x)[-1]) if np.ndim(x) == 2 else max(len(x), 1)
    found = []
    for first in range(0, max(len(x), 1), size):
        part = np.asarray(checks.numeric(x[first : first + size], "x"))
        room = min(size, 1 << max(len(part) - 1, 0).bit_length())
        filled = np.zeros((room, *part.shape[1:]), part.dtype)
        filled[: len(part)] = part
        found.append(np.asarray(decide(params, filled))[: len(part)])
    return np.concatenate(found)


def evaluate(
    params: Linear, stream, metrics: Mapping[str, Callable]
) -> dict[str, Float[Array, ""]]:
    """The metrics of all rows of a stream, in one pass.

    ``metrics`` maps a name to ``metric(o, y, weight)``, a weighted mean over examples:
    ``jl.metrics.accuracy``, ``log_loss``, ``brier``, ``mse``, ``mae``, ``deviance(loss)``, or
    ``mean(loss)`` of a loss. Others are no means of those of blocks: ValueError.

    >>> x, y = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 1, 0])
    >>> params = jl.Linear(jnp.array([1.0]), jnp.array(-0.5))
    >>> blocks = [jl.Batch(x[:1], y[:1]), jl.Batch(x[1:], y[1:])]
    >>> print(evaluate(params, blocks, {"accuracy": jl.metrics.accuracy})["accuracy"].round(4))
    0.6667
    """
    for name, metric in metrics.items():
        _require_mean(name, metric)

    params = jax.tree.map(jnp.asarray, params)
    total, sums = 0.0, dict.fromkeys(metrics, 0.0)
    for block in Passes(stream, None):
        o = affine.predict(params, block.x)
        weight = float(jnp.sum(block.weight))
        total += weight
        for name, metric in metrics.items():
            sums[name] += weight * float(metric(o, block.y, block.weight))
    return {name: jnp.asarray(value / total, params.b.dtype) for name, value in sums.items()}


def _require_mean(name: str, metric: Callable) -> None:
    others = [getattr(known, other) for other in known.__all__ if other not in _MEANS]
    if metric in others:
        raise ValueError(
            f"metric {name!r} is no mean over examples; expected one of {_MEANS}. For rmse take "
            "the root of mse; for others, predict and a sample that memory holds."
        )

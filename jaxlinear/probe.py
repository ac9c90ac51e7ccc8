"""The protocol of linear probes: a path of penalties, a choice on held-out rows, a refit on all."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import _checks, losses
from jaxlinear.convex import glm, glm_path
from jaxlinear.cross_validation import CrossValidation
from jaxlinear.metrics import mean
from jaxlinear.models import predict
from jaxlinear.types import Linear

_INVERSE_PENALTIES = np.logspace(-6, 5, 45)


def linear_probe(
    x,
    y,
    held_out,
    l2s=None,
    *,
    loss: Callable = losses.softmax_cross_entropy,
    error: Callable | None = None,
    outputs: int | None = None,
    weight=None,
    **options,
) -> CrossValidation:
    """Choose l2 by the error on the held-out rows of a fit of the others, and fit all rows with it.

    Args:
      x, y, weight, outputs: as in ``glm``; the features of a frozen network, say.
      held_out: (n,) of bool, the rows that choose; or their numbers.
      l2s: the candidates (m,). None is the usual 45 values of C, from 1e-6 to 1e5 by equal
        factors: l2 = 1 / (C Σ w) over the rows that are fitted.
      loss: softmax regression, or any loss that ``glm`` takes. Where it is ``separable``, as
        ``losses.logistic`` is, each of the k outputs has its own l2: a probe for every concept.
      error: ``error(o, y)`` of one example, less is better: ``losses.zero_one`` for classes and
        labels, else ``loss``. Of equal errors the strongest penalty wins.
      options: ``intercept``, ``tol``, ``max_steps`` as in ``glm``.

    Returns:
      ``CrossValidation(fit, l2, scores)``, scores (m, *k) the mean errors of the held-out rows.

    scikit-learn's ``LogisticRegression(C)`` in a loop (Kornblith et al., "Do better ImageNet
    models transfer better?", 2019, A.3; Radford et al., 2021, A.3). Raises ValueError for rows
    that are all or none, and for what ``glm`` refuses.

    >>> x = jax.random.normal(jax.random.key(0), (100, 5))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> probe = linear_probe(x, y, jnp.arange(100) >= 80, [1.0, 0.1, 0.01])
    >>> print(probe.scores.shape, probe.l2.shape)
    (3,) ()
    """
    held_out = _rows(held_out, len(np.shape(x)) and np.shape(x)[0])
    total = (
        jnp.ones(len(held_out)) if weight is None else jnp.asarray(weight, jnp.result_type(float))
    )
    fitted = jnp.where(held_out, 0, total)
    if l2s is None:
        l2s = 1 / (_INVERSE_PENALTIES * jnp.sum(fitted))
    if error is None:
        decides = losses.target_of(loss) in ("labels", "probabilities")
        error = losses.zero_one if decides else loss
    path = glm_path(loss, x, y, l2s, outputs=outputs, weight=fitted, **options)
    separate = path.report.status.ndim == 2
    l2s = jnp.asarray(l2s, path.params.w.dtype)
    scores, l2, start = _choose(error, separate, path.params, x, y, total - fitted, l2s)
    fit = glm(loss, x, y, l2, outputs=outputs, weight=weight, init=start, **options)
    return CrossValidation(fit, l2, scores)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _choose(error: Callable, separate: bool, params: Linear, x, y, held, l2s):
    def score(params, y):
        return mean(error)(predict(params, x), y, held)

    if separate:
        score = jax.vmap(score, in_axes=(0, 1))
    scores = jax.lax.map(lambda params: score(params, y), params)
    strongest_first = jnp.argsort(-l2s)
    compared = jnp.where(jnp.isnan(scores), jnp.inf, scores)[strongest_first]
    best = strongest_first[jnp.argmin(compared, axis=0)]
    if not separate:
        return scores, l2s[best], jax.tree.map(lambda leaf: leaf[best], params)
    each = jnp.arange(len(best))
    return scores, l2s[best], jax.tree.map(lambda leaf: leaf[best, each], params)


def _rows(held_out, n: int):
    """The rows as (n,) of bool."""
    if _checks.is_traced(held_out):
        return held_out.astype(bool)
    rows = np.asarray(held_out)
    if rows.dtype != bool:
        rows = np.isin(np.arange(n), rows)
    if rows.shape != (n,) or rows.all() or not rows.any():
        raise ValueError(
            f"held_out has shape {rows.shape} and {rows.sum()} rows; expected ({n},) of bool, or "
            "the numbers of some rows, and others that are fitted."
        )
    return rows

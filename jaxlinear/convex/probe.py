"""The linear probe: the penalty chosen on held-out rows, for many labels at once."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.choice import CrossValidation
from jaxlinear.convex.fits import glm, glm_path
from jaxlinear.convex.held_out import chosen, error_of, scores_of
from jaxlinear.convex.labelled import (
    balanced,
    labelled,
    require_class_weight,
    where_labelled,
)
from jaxlinear.convex.static import MOST_STEPS, with_room
from jaxlinear.endings import unless_blind
from jaxlinear.model import losses
from jaxlinear.model.declaration import is_separable, target_of
from jaxlinear.rows.absent import ones_or

_INVERSE_PENALTIES = np.logspace(-6, 5, 45)


def usual_penalties(total) -> Float[Array, " 45"]:
    """l2 = 1 / (C Σ w) for the usual 45 values of C, where Σ w is ``total``."""
    return 1 / (jnp.asarray(_INVERSE_PENALTIES, jnp.result_type(total)) * total)


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
    class_weight: str | None = None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> CrossValidation:
    """Choose l2 by the error on the held-out rows of a fit of the others, and fit all rows with it.

    Args:
      x, y, outputs, intercept, tol, max_steps: as in ``glm``; x are the features of a frozen
        network, say. A y of NaN is no label: where it is known before tracing, it has weight 0.
      held_out: the rows that choose: a mask (n,) of bool or of 0 and 1, or integers, the numbers
        of the rows. What has n entries of 0 and 1 is a mask.
      l2s: the candidates (m,). None is the usual 45 values of C, from 1e-6 to 1e5 by equal
        factors: l2 = 1 / (C Σ w) over the rows that are fitted.
      loss: softmax regression, or any loss that ``glm`` takes. Where it is ``separable``, as
        ``losses.logistic`` is, each of the k outputs has its own l2: a probe for every concept.
      weight: (n,), or, for k outputs with a loss that is separable, one for each, (n, k).
      class_weight: "balanced" gives every class, of every output, the same weight among the rows
        that are fitted. The scores do not count it.
      error: ``error(o, y)`` of one example, less is better: ``losses.zero_one`` for classes and
        labels, else ``loss``. Of equal errors the strongest penalty wins.

    Returns:
      ``CrossValidation(fit, l2, scores)``, scores (m, *k) the mean errors of the held-out rows:
      NaN, and never chosen, where a fit has no optimum (l2 = 0 and classes that can be separated)
      or did not reach it. Where no score is a number the strongest penalty is taken, with the
      status of its fit of the fitted rows as ``fit.report.status``.

    scikit-learn's ``LogisticRegression(C, class_weight=…)`` in a loop (Kornblith et al., "Do better
    ImageNet models transfer better?", 2019, A.3; Radford et al., 2021, A.3). Raises ValueError for
    rows that are all or none, and for what ``glm`` refuses.

    >>> x = jax.random.normal(jax.random.key(0), (100, 5))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> probe = linear_probe(x, y, jnp.arange(100) >= 80, [1.0, 0.1, 0.01])
    >>> print(probe.scores.shape, probe.l2.shape)
    (3,) ()
    """
    require_class_weight(class_weight, loss)
    options = {"outputs": outputs, "intercept": intercept, "tol": tol, "max_steps": max_steps}
    error = error_of(loss) if error is None else error
    choose = functools.partial(_choose, loss, error, bool(class_weight), options)
    y, known = labelled(y, loss, in_columns=is_separable(loss))
    separate = is_separable(loss) and y.ndim == 2
    if known is None and not (separate and (class_weight or np.ndim(weight) == 2)):
        return choose(x, y, held_out, l2s, weight)
    weight = where_labelled(known, weight, y.shape)
    if not separate:
        return choose(x, y, held_out, l2s, weight)
    (x, y, _), _, _ = checks.examples(x, y, None, target_of(loss), outputs=outputs, look=False)
    held_out = checks.rows_as_mask(held_out, len(y))
    l2s = None if l2s is None else checks.numbers(l2s, "l2s", jnp.result_type(float))
    static = (loss, error, bool(class_weight), bool(intercept), max_steps)
    return _choose_each(static, x, y, held_out, l2s, weight, tol)


@functools.partial(jax.jit, static_argnums=0)
def _choose_each(static, x, y, held_out, l2s, weight, tol) -> CrossValidation:
    """The probes of outputs that have weights of their own, and share x."""
    loss, error, even, intercept, max_steps = static
    options = {"outputs": None, "intercept": intercept, "tol": tol, "max_steps": max_steps}
    outputs = y.shape[1]
    near = with_room(outputs, x.shape[1] + intercept) == outputs

    def one(y, weight):
        return _choose(loss, error, even, options, x, y, held_out, l2s, weight, near=near)

    found = jax.vmap(one, in_axes=(1, 1))(y, weight)
    return found._replace(scores=found.scores.T)


@jax.jit
def _parted(weight, held_out):
    """The weights of all rows, and of those that are held out, and of the others, 0 elsewhere."""
    total = ones_or(weight, len(held_out), jnp.result_type(float))
    return total, jnp.where(held_out, total, 0), jnp.where(held_out, 0, total)


def _choose(
    loss, error, even: bool, options, x, y, held_out, l2s, weight, *, near: bool = False
) -> CrossValidation:
    """The probe of outputs that share their weights; ``near`` is that of ``glm``."""
    (x, y, weight), shape, _ = checks.examples(
        x, y, weight, target_of(loss), outputs=options["outputs"], look=False
    )
    n = len(x)
    outputs = shape[0] if shape else None  # also where all of a class are held out
    options = options | {"outputs": outputs}
    held_out = checks.rows_as_mask(held_out, n)
    total, held, fitted = _parted(weight, held_out)
    if checks.is_known(held) and not np.any(held):
        raise ValueError("weight is 0 in all held-out rows; expected one of weight > 0.")
    if l2s is None:
        l2s = usual_penalties(jnp.sum(fitted))
    if even:
        weight, fitted = (balanced(loss, y, rows, shape) for rows in (total, fitted))
    path = glm_path(loss, x, y, l2s, weight=fitted, **options)
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", path.report.objective.dtype))
    scores, ends = scores_of(error, path.report.status.ndim == 2, path, x, y, held)
    (l2, start, why), blind = chosen(scores, l2s, (l2s, path.params, ends))
    fit = glm(loss, x, y, l2, weight=weight, init=start, near=near, **options)
    return CrossValidation(unless_blind(fit, blind, why), l2, scores)

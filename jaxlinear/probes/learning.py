"""Learning curves: how well probes do that know few of the rows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxlinear import checks
from jaxlinear.convex.fits import glm
from jaxlinear.convex.held_out import mean_error
from jaxlinear.convex.static import MOST_STEPS
from jaxlinear.model import losses
from jaxlinear.probes.stack import each_of, per_layer, ranks
from jaxlinear.probes.task import Setting, Task, evened, for_concepts, scaled, task_of


class LearningCurve(NamedTuple):
    """The errors of held-out rows (layers, sizes, repeats, *k), and how the fits ended.

    A score is NaN where a fit has no optimum, as for a sample that lacks a class.
    """

    scores: Float[Array, "*layers_sizes_repeats_k"]
    status: Int[Array, "*layers_sizes_repeats_k"]


def learning_curve(
    x,
    y,
    held_out,
    sizes,
    l2=1e-3,
    *,
    key: PRNGKeyArray,
    repeats: int = 1,
    loss: Callable = losses.logistic,
    error: Callable | None = None,
    classes: int | None = None,
    weight=None,
    class_weight: str | None = None,
    standardise: bool = True,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> LearningCurve | dict[str, LearningCurve]:
    """The errors on the held-out rows of probes of some of the others: a sample is a weight.

    Args:
      sizes: how many of the rows that are labelled, and not held out, (s,): the first ones in a
        random order, so that the larger sample holds the smaller. Of ``repeats`` orders each has
        its own fits.
      l2: a number, or (layers, *k), such as ``Probes.l2``, for all rows that are fitted. A sample
        has l2 times their weight over its own: the same prior, as for scikit-learn's C.
      x, y, held_out, loss, error, classes, weight, class_weight, standardise, intercept, tol,
        max_steps: as in ``of_layers``. The columns are scaled by the rows of the sample.

    scikit-learn's ``learning_curve``, layer by layer and concept by concept. Raises ValueError for
    sizes beyond what there is, and for what ``of_layers`` refuses.
    """
    setting, task = task_of(
        y, loss=loss, error=error, classes=classes, weight=weight, class_weight=class_weight,
        standardise=standardise, intercept=intercept, tol=tol, max_steps=max_steps,
    )  # fmt: skip
    held_out = jnp.asarray(checks.rows_as_mask(held_out, len(task.y)))
    sizes = jnp.asarray(_sizes(sizes, task.weight, held_out), jnp.int32)
    keys = jax.random.split(key, checks.count(repeats, "repeats"))
    of_layer = functools.partial(_of_layer, setting)
    return per_layer(of_layer, x, task.rows, (task, held_out, sizes, keys), l2)


def _sizes(sizes, weight, held_out):
    sizes = checks.numeric(sizes, "sizes")
    if sizes.ndim != 1 or not len(sizes) or not jnp.issubdtype(sizes.dtype, jnp.integer):
        raise ValueError(
            f"sizes has shape {sizes.shape} and dtype {sizes.dtype}; expected (s,), whole numbers."
        )
    if checks.is_known(sizes, weight, held_out):
        there = np.asarray(weight).T > 0
        most = int(np.max(np.sum(there & ~np.asarray(held_out), axis=-1)))
        wrong = (np.asarray(sizes) < 1) | (np.asarray(sizes) > most)
        if wrong.any():
            raise ValueError(
                f"sizes[{np.argmax(wrong)}] is {sizes[np.argmax(wrong)]}; expected 1 … {most}, the "
                "rows that are labelled and not held out."
            )
    return sizes


def _of_layer(setting: Setting, x, task: Task, held_out, sizes, keys, l2) -> LearningCurve:
    shared = x, task, held_out, l2

    def of_size(size):
        def of_repeat(key):
            return _of_sample(setting, *shared, size, key)

        return each_of(of_repeat, (list(keys),), (*shared, size))

    return each_of(of_size, (list(sizes),), (*shared, keys))


def _of_sample(setting: Setting, x, task: Task, held_out, l2, size, key) -> LearningCurve:
    sample, held, l2 = _sample(task, held_out, l2, size, key)
    z, _ = scaled(setting, x, sample.rows)
    return LearningCurve(*_errors(setting, z, sample, held, l2))


@jax.jit
def _sample(task: Task, held_out, l2, size, key):
    """The task of the first rows in a random order, the weights that score it, and its l2."""
    out = held_out if task.weight.ndim == 1 else held_out[:, None]
    fitted, held = jnp.where(out, 0, task.weight), jnp.where(out, task.weight, 0)
    order = jax.random.uniform(key, held_out.shape)
    sample = only(task, jnp.where(ranks(order, fitted > 0) < size, fitted, 0))
    return sample, held, l2 * stronger(fitted, sample.weight, l2)


@functools.partial(jax.jit, static_argnums=0)
def _errors(setting: Setting, z, sample: Task, held, l2):
    """The mean errors of the rows with weight in ``held`` of fits of a sample, and their ends."""

    def judge(fit, y, held):
        return mean_error(setting.error, fit.report.status.ndim == 1, fit, z, y, held)

    return fits_of(setting, z, sample, l2, judge, held)


def only(task: Task, weight) -> Task:
    """The task of the rows that have weight, by which columns are scaled too."""
    there = weight > 0 if weight.ndim == 1 else jnp.any(weight > 0, axis=1)
    return task._replace(weight=weight, rows=jnp.where(there, task.rows, 0))


def stronger(all_of, some, l2):
    """The factor of l2 by which the prior of some rows is that of all: it is beside a mean."""
    total = jnp.sum(some, axis=0)
    factor = jnp.sum(all_of, axis=0) / jnp.where(total > 0, total, 1)
    return jnp.broadcast_to(factor, l2.shape)


def fits_of(setting: Setting, z, task: Task, l2, judge: Callable, weight):
    """``judge(fit, y, weight)`` of the fits of all concepts; weight (n,) or (n, k) is of rows."""

    def of(y, own, l2, weight):
        own = evened(setting, y, own)
        fit = glm(setting.loss, z, y, l2, weight=own, **setting.options(task.tol))
        return judge(fit, y, weight)

    by_concept = jnp.moveaxis(weight, -1, 0) if weight.ndim == 2 else weight
    return for_concepts(setting, of, task, l2, by_concept)

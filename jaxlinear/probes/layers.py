"""Probes of every layer for every concept: l2 chosen by rows, or folds, that are held out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxlinear import checks
from jaxlinear.convex.fits import glm, glm_path
from jaxlinear.convex.held_out import chosen, scores_of
from jaxlinear.convex.probe import usual_penalties
from jaxlinear.convex.static import MOST_STEPS, with_room
from jaxlinear.endings import unless_blind, usable
from jaxlinear.model import losses
from jaxlinear.model.affine import predict
from jaxlinear.model.scaling import Scaling, standardise, unstandardise
from jaxlinear.probes.stack import each_of, per_layer
from jaxlinear.probes.task import (
    Setting,
    Task,
    evened,
    for_concepts,
    scaled,
    task_of,
)
from jaxlinear.types import Fit, Linear


class Probes(NamedTuple):
    """Probes of a stack of layers, or of one, without the leading axis.

    ``fit.params`` are those of x itself; ``fit.report`` is of the standardised columns, whose
    coefficients are w / scale. ``l2`` (layers, *k) and ``scores`` (layers, m, *k) are as in
    ``CrossValidation``. ``outputs`` (layers, n, *k) are what every row was predicted to be by the
    fit, with the l2 chosen, that did not know it: NaN for rows that were not held out, the mean
    over folds for those that were more than once.
    """

    fit: Fit
    scaling: Scaling
    l2: Float[Array, "*layers_k"]
    scores: Float[Array, "*layers_m_k"]
    outputs: Float[Array, "*layers_n_k"]


def of_layers(
    x,
    y,
    held_out=None,
    l2s=None,
    *,
    folds=None,
    loss: Callable = losses.logistic,
    error: Callable | None = None,
    classes: int | None = None,
    weight=None,
    class_weight: str | None = None,
    standardise: bool = True,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> Probes | dict[str, Probes]:
    """Probe every layer for every concept: each chooses its l2, and is fitted to all rows with it.

    Args:
      x: (layers, n, d), the features of the same rows in every layer; or (n, d); or a dict of
        such, by names, where layers differ in d: it makes a dict of results.
      y: (n,), or (n, k) for k concepts, each on its own, NaN where it has no label: in [0, 1], or
        whatever the loss takes; labels 0, 1, … with ``losses.softmax_cross_entropy``.
      held_out: the rows that choose l2, as in ``linear_probe``; or None, and
      folds: a number, the fold of every row, or weights (f, n), as in ``glm_cv``. Rows that belong
        together, as those of a document do, stay so in ``resample.group_k_fold``.
      l2s: the candidates (m,); None is the usual 45 values of C, as in ``linear_probe``.
      classes: the number of classes, where the labels do not tell it.
      weight: (n,), or (n, k) for every concept its own.
      class_weight: "balanced" gives every class of a concept the same weight in its fits.
      standardise: scale every column of x, in every fold, by the rows that are fitted.
      error, intercept, tol, max_steps: as in ``linear_probe``, as is the choice.

    Returns:
      ``Probes``. For k classes w is (layers, *concepts, classes, d), and so on.

    Every probe is what it is alone. scikit-learn's ``GridSearchCV`` over a pipeline of
    ``StandardScaler`` and ``LogisticRegression``, layer by layer and concept by concept (Alain and
    Bengio, "Understanding intermediate layers using linear classifier probes", 2017). Raises
    ValueError for what ``linear_probe`` refuses; where x, y or weights are traced it is a status.

    >>> x = jax.random.normal(jax.random.key(0), (2, 100, 5))
    >>> y = jnp.stack([x[0, :, 0] > 0, x[1, :, 1] > 0.5], axis=1) * 1.0
    >>> probes = of_layers(x, y, jnp.arange(100) >= 80, [1.0, 0.1, 0.01])
    >>> print(probes.fit.params.w.shape, probes.scores.shape, probes.l2.shape)
    (2, 2, 5) (2, 3, 2) (2, 2)
    """
    setting, task = task_of(
        y, loss=loss, error=error, classes=classes, weight=weight, class_weight=class_weight,
        standardise=standardise, intercept=intercept, tol=tol, max_steps=max_steps,
    )  # fmt: skip
    folds = folds_of(held_out, folds, len(task.y))
    l2s = None if l2s is None else checks.numbers(l2s, "l2s", jnp.result_type(float))
    return per_layer(functools.partial(_of_layer, setting), x, task.rows, (task, folds, l2s))


def folds_of(held_out, folds, n: int):
    """Weights (f, n), 0 for what a fold holds out, from the one of both that is given."""
    if (held_out is None) == (folds is None):
        raise ValueError("held_out and folds: expected one of them, and None for the other.")
    if folds is not None:
        return jnp.asarray(checks.folds_as_weights(folds, n))
    return jnp.where(checks.rows_as_mask(held_out, n), 0.0, 1.0)[None]


class _Fold(NamedTuple):
    """The fits (m, *k) of a fold, the errors of what it holds out, and the weight of that (*k)."""

    params: Linear
    scaling: Scaling
    scores: Float[Array, "m *k"]
    ends: Float[Array, "m *k"]
    held: Float[Array, "*k"]


def _of_layer(setting: Setting, x, task: Task, folds, l2s) -> Probes:
    """Blocks of concepts with weights of their own, each of which has a Hessian of its own."""
    concepts = task.y.shape[1] if setting.each else 1
    size = with_room(concepts, (setting.outputs or 1) * (x.shape[1] + setting.intercept))
    if size == concepts:
        return _of_block(setting, x, task, folds, l2s)
    blocks = _blocks(concepts, size)
    parts = (task._replace(y=task.y[:, block], weight=task.weight[:, block]) for block in blocks)
    return _side_by_side([_of_block(setting, x, part, folds, l2s) for part in parts], blocks)


def _blocks(concepts: int, most: int) -> list[np.ndarray]:
    """The concepts by blocks of one size, for which one program is compiled: they may overlap."""
    size = -(-concepts // -(-concepts // most))
    starts = (min(start, concepts - size) for start in range(0, concepts, size))
    return [np.arange(start, start + size) for start in starts]


def _side_by_side(parts: list[Probes], blocks: list[np.ndarray]) -> Probes:
    place = np.unique(np.concatenate(blocks), return_index=True)[1]

    def join(axis: int, *trees):
        return jax.tree.map(
            lambda *leaves: jnp.take(jnp.concatenate(leaves, axis), place, axis), *trees
        )

    fit, scaling, l2, scores, outputs = zip(*parts, strict=True)
    return Probes(join(0, *fit), scaling[0], join(0, *l2), join(1, *scores), join(1, *outputs))


def _of_block(setting: Setting, x, task: Task, folds, l2s) -> Probes:
    def of(fold):
        z, scaling = scaled(setting, x, task.rows * fold)
        return _of_fold(setting, z, scaling, task, fold, folds, l2s)

    done = each_of(of, (list(folds),), (x, task, l2s))
    return _chosen(setting, x, *scaled(setting, x, task.rows), task, folds, l2s, done)


def _candidates(l2s, task: Task, folds):
    if l2s is not None:
        return l2s
    return usual_penalties(jnp.sum(task.rows * jnp.mean(folds, axis=0)))


@functools.partial(jax.jit, static_argnums=0)
def _chosen(setting: Setting, x, z, scaling, task: Task, folds, l2s, done: _Fold) -> Probes:
    l2s = jnp.asarray(_candidates(l2s, task, folds), done.params.b.dtype)
    options = setting.options(task.tol)
    scores, why = _pooled(done)
    (l2, why), blind = chosen(scores, l2s, (l2s, why))
    params = jax.vmap(lambda params: chosen(scores, l2s, params)[0])(done.params)

    def fit_of(y, weight, l2, init):
        weight = evened(setting, y, weight)
        return glm(setting.loss, z, y, l2, weight=weight, init=init, near=True, **options)

    first = jax.tree.map(lambda leaf: leaf[0], params)
    fit = unless_blind(for_concepts(setting, fit_of, task, l2, first), blind, why)
    fit = fit._replace(params=unstandardise(fit.params, scaling))
    return Probes(fit, scaling, l2, scores, _held_out_outputs(x, params, done.scaling, folds))


@functools.partial(jax.jit, static_argnums=0)
def _of_fold(setting: Setting, z, scaling, task: Task, fold, folds, l2s) -> _Fold:
    l2s = _candidates(l2s, task, folds)

    def of(y, weight):
        inside, held = evened(setting, y, weight * fold), jnp.where(fold == 0, weight, 0)
        path = glm_path(setting.loss, z, y, l2s, weight=inside, **setting.options(task.tol))
        separate = path.report.status.ndim == 2
        return path.params, *scores_of(setting.error, separate, path, z, y, held), jnp.sum(held)

    params, scores, ends, held = for_concepts(setting, of, task, out_axes=(1, 1, 1, 0))
    return _Fold(params, scaling, scores, ends, held)


def _pooled(done: _Fold):
    """The mean errors of all folds, each counting as much as it holds; and why there is none."""
    share = done.held.reshape(len(done.held), 1, *done.held.shape[1:])
    share = jnp.broadcast_to(
        share.reshape(*share.shape, *[1] * (done.scores.ndim - share.ndim)), done.scores.shape
    )
    total = jnp.sum(share, axis=0)
    scores = jnp.sum(jnp.where(share > 0, share * done.scores, 0), axis=0)
    failed = jnp.argmin(usable(done.ends) | (share == 0), axis=0)  # the first, or 0
    why = jnp.take_along_axis(done.ends, failed[None], axis=0)[0]
    return jnp.where(total > 0, scores / jnp.where(total > 0, total, 1), jnp.nan), why


def _held_out_outputs(x, params: Linear, scalings: Scaling, folds):
    """What every row is predicted to be by the fits (f, …) that do not know it: their mean."""

    def add(total, fold):
        params, scaling, weight = fold
        z, _ = standardise(x, scaling=scaling)
        flat = Linear(params.w.reshape(-1, params.w.shape[-1]), params.b.reshape(-1))
        o = predict(flat, z)
        return total + jnp.where((weight == 0)[:, None], o, 0), None

    room = jnp.zeros((len(x), params.b[0].size), params.b.dtype)
    total, _ = jax.lax.scan(add, room, (params, scalings, folds))
    times = jnp.sum(folds == 0, axis=0)[:, None]
    mean = jnp.where(times > 0, total / jnp.where(times > 0, times, 1), jnp.nan)
    return mean.reshape(len(x), *params.b.shape[1:])

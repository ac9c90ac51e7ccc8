"""Minimum description length: how briefly a layer describes the labels of a concept."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxlinear import checks
from jaxlinear.convex.static import MOST_STEPS
from jaxlinear.endings import usable
from jaxlinear.model import losses
from jaxlinear.model.affine import predict
from jaxlinear.model.declaration import family_of, has_classes, target_of
from jaxlinear.model.objective import each_loss
from jaxlinear.probes.learning import fits_of, only, stronger
from jaxlinear.probes.stack import each_of, per_layer, ranks
from jaxlinear.probes.task import Setting, Task, scaled, task_of
from jaxlinear.rows.sums import accurate_sum

PORTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5)


class DescriptionLength(NamedTuple):
    """Code lengths in bits of the labels (layers, *k), given the rows of a layer.

    ``uniform`` is n log2 K for K classes, and ``compression`` uniform / bits. ``blocks``
    (layers, s + 1, *k) are the bits of every block, which sum to ``bits``, and ``status``
    (layers, s, *k) how the fits of the prefixes ended.
    """

    bits: Float[Array, "*layers_k"]
    uniform: Float[Array, "*layers_k"]
    compression: Float[Array, "*layers_k"]
    blocks: Float[Array, "*layers_blocks_k"]
    status: Int[Array, "*layers_s_k"]


def description_length(
    x,
    y,
    l2=1e-3,
    *,
    key: PRNGKeyArray | None,
    portions=PORTIONS,
    loss: Callable = losses.logistic,
    classes: int | None = None,
    weight=None,
    standardise: bool = True,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
) -> DescriptionLength | dict[str, DescriptionLength]:
    """The bits of an online code: every block by the probe of all rows before it.

    Σ_rows of block 1 log2 K + Σ_i Σ_rows of block i + 1 −log2 p_i(y | x), where p_i is the probe
    of blocks 1 … i. Where these lack a class that occurs, or the fit has no optimum, block i + 1
    has the uniform code too, which sender and receiver can tell alike.

    Args:
      key: draws the order of the rows; None takes them as they come.
      portions: of the labelled rows, increasing in (0, 1): how long the prefixes are (s,).
      l2: a number, or (layers, *k), such as ``Probes.l2``, of all rows. A prefix has l2 times the
        weight of all over its own: the same prior for all.
      x, y, classes, weight, standardise, intercept, tol, max_steps: as in ``of_layers``; columns
        are scaled by the rows of the prefix.
      loss: ``losses.logistic``, or ``losses.softmax_cross_entropy``.

    Voita and Titov, "Information-theoretic probing with minimum description length", 2020, 2.2.2.
    Raises ValueError for losses that are not the likelihood of classes, and for what ``of_layers``
    refuses.
    """
    if target_of(loss) not in ("labels", "probabilities") or family_of(loss) is None:
        name = getattr(loss, "__name__", loss)
        raise ValueError(f"{name} has no code; expected logistic or softmax_cross_entropy.")
    setting, task = task_of(
        y, loss=loss, error=None, classes=classes, weight=weight, class_weight=None,
        standardise=standardise, intercept=intercept, tol=tol, max_steps=max_steps,
    )  # fmt: skip
    portions = checks.numeric(portions, "portions")
    if checks.is_known(portions):
        host = np.asarray(portions)
        edges = np.r_[0, host.ravel(), 1]
        if host.ndim != 1 or not (np.diff(edges) > 0).all():
            raise ValueError(f"portions is {portions}; expected numbers that increase in (0, 1).")
    portions = jnp.asarray(portions, jnp.result_type(float))
    n = len(task.y)
    order = jnp.arange(n) if key is None else jax.random.permutation(key, n)
    of_layer = functools.partial(_of_layer, setting)
    return per_layer(of_layer, x, task.rows, (task, order, portions), l2)


def _of_layer(setting: Setting, x, task: Task, order, portions, l2) -> DescriptionLength:
    place, ends = _places(task.weight, order, portions)
    parts = list(ends[:-1]), list(ends[1:])
    shared = x, task, place, l2

    def of(start, end):
        prefix, own = _prefix(task, place, l2, start)
        z, _ = scaled(setting, x, prefix.rows)
        return _of_block(setting, z, task, prefix, place, own, start, end)

    blocks, status = each_of(of, parts, shared)
    first, even = (_uniform(setting, task, place, 0 * end, end) for end in (ends[0], ends[-1]))
    blocks = jnp.concatenate([first[None], blocks])
    bits = jnp.sum(blocks, axis=0)
    return DescriptionLength(bits, even, even / bits, blocks, status)


@jax.jit
def _places(weight, order, portions):
    """The place of every row among those that count, and where prefixes, and all rows, end."""
    number = jnp.sum(weight > 0, axis=0)
    ends = jnp.round(jnp.multiply.outer(portions, number))
    return ranks(order, weight > 0), jnp.concatenate([ends, number[None]]).astype(jnp.int32)


def _between(place, start, end):
    start, end = (at if at.ndim == 0 else at[None] for at in (start, end))
    return (place >= start) & (place < end)


@functools.partial(jax.jit, static_argnums=0)
def _uniform(setting: Setting, task: Task, place, start, end):
    """The bits of a block, of every concept, where all classes are as likely."""
    each = jnp.log2(setting.outputs if has_classes(setting.loss) else 2.0)
    total = accurate_sum(jnp.where(_between(place, start, end), task.weight, 0))
    return jnp.broadcast_to(each * total, task.y.shape[1:])


@jax.jit
def _prefix(task: Task, place, l2, start):
    """The task of the rows before ``start``, and its l2."""
    prefix = only(task, jnp.where(_between(place, 0 * start, start), task.weight, 0))
    return prefix, l2 * stronger(task.weight, prefix.weight, l2)


@functools.partial(jax.jit, static_argnums=0)
def _of_block(setting: Setting, z, task: Task, prefix: Task, place, l2, start, end):
    coded = jnp.where(_between(place, start, end), task.weight, 0)
    judge = functools.partial(_bits, setting, z)
    bits, status = fits_of(setting, z, prefix, l2, judge, coded)
    known = usable(status) & _has_all_classes(setting, task.y, prefix.weight, task.weight)
    return jnp.where(known, bits, _uniform(setting, task, place, start, end)), status


def _bits(setting: Setting, z, fit, y, coded):
    """The bits of the rows that are coded, of every output that is a concept."""

    def of(params, y):
        each, weight = each_loss(setting.loss, predict(params, z), y, coded)
        return accurate_sum(each * weight) / jnp.log(2.0)

    separate = fit.report.status.ndim == 1
    return (jax.vmap(of, (0, 1)) if separate else of)(fit.params, y), fit.report.status


def _has_all_classes(setting: Setting, y, some, of_all):
    """Whether every class that occurs with weight does so among some rows, for every concept."""

    def of(y, some, of_all):
        if has_classes(setting.loss):
            hot = jax.nn.one_hot(y, setting.outputs, dtype=bool)
        else:
            hot = jnp.stack([y < 1, y > 0], axis=1)  # a probability is some of both
        there, all_there = (
            jnp.any(hot & (weight > 0)[:, None], axis=0) for weight in (some, of_all)
        )
        return jnp.all(there | ~all_there)

    if y.ndim == 1:
        return of(y, some, of_all)
    axis = 1 if some.ndim == 2 else None
    return jax.vmap(of, (1, axis, axis))(y, some, of_all)

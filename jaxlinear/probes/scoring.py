"""Scores of probes with error bars."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxlinear import checks
from jaxlinear.convex.labelled import where_labelled
from jaxlinear.many.bootstrap import Interval, interval
from jaxlinear.model import metrics
from jaxlinear.rows.absent import where_present

OF_CLASSES = {
    "roc_auc": metrics.roc_auc,
    "balanced_accuracy": metrics.balanced_accuracy,
    "f1": metrics.f1,
    "calibration_error": metrics.calibration_error,
}


def scores(
    o,
    y,
    *,
    key: PRNGKeyArray,
    metrics: dict[str, Callable] | None = None,
    weight=None,
    folds=None,
    groups=None,
    samples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Metrics of every probe, with bootstrap intervals over rows or groups, in one program.

    Args:
      o: (…, n), (…, n, k), or (…, n, k, classes): the outputs of probes, as ``Probes.outputs`` or
        ``predict`` has them, with any leading axes, such as layers. A NaN is no prediction.
      y: (n,) or (n, k), as in ``of_layers``; NaN is no label.
      metrics: a dict of names and metrics, ``metric(o, y, weight)``; None is ``roc_auc``,
        ``balanced_accuracy``, ``f1`` and ``calibration_error`` of the probabilities. For numbers
        ``{"r2": jl.metrics.r2}``.
      weight: (n,) or (n, k).
      folds: weights (f, n): a score for every fold, of the rows that it holds out, with an axis
        of folds first. The outputs of different fits rank less well together than each on its own
        (Forman and Scholz, "Apples-to-apples in cross-validation studies", 2010).
      groups, samples, level: as in ``resample.interval``. All probes see the same samples, of the
        rows that any of them predicts, so that layers can be compared sample by sample.

    Returns:
      For every metric an ``Interval(value, low, high)`` of (*folds, *layers, *k): NaN for a probe
      without predictions, or where the metric has no value.

    >>> o = jax.random.normal(jax.random.key(0), (2, 100))
    >>> found = scores(o, o[0] > 0, key=jax.random.key(1), samples=50)
    >>> print(found["roc_auc"].value.round(1), found["f1"].low.shape)
    [1.  0.5] (2,)
    """
    o, y = checks.numeric(o, "o"), checks.numeric(y, "y")
    probes, columns = _axes(o, y)
    known = ~jnp.isnan(y) if jnp.issubdtype(y.dtype, jnp.floating) else None
    weight = where_labelled(known, weight, y.shape)
    if folds is not None:
        folds = jnp.asarray(checks.folds_as_weights(folds, len(y)) == 0)
    chosen = OF_CLASSES if metrics is None else dict(metrics)
    o, y = jnp.asarray(o), jnp.nan_to_num(jnp.asarray(y), nan=1)
    n, classes = len(y), o.shape[len(probes) + y.ndim :]
    _require_targets(y, weight, classes, chosen)
    # Every probe in a column of its own: o (n, p, *classes), with y and weight (n, k).
    o = jnp.moveaxis(o, len(probes), 0).reshape(n, -1, *classes)
    y, weight = y.reshape(n, -1), weight.reshape(n, -1)
    groups = None if groups is None else checks.names_and_numbers(groups, n)[1]
    rows = _known_to_some(o, weight)
    if rows is not None:
        o, y, weight = o[rows], y[rows], weight[rows]
        folds = None if folds is None else folds[:, rows]
        groups = None if groups is None else groups[rows]
    parts = y, weight, folds
    found = interval(
        _of_all(tuple(chosen.items())), key, o, parts, groups=groups, samples=samples, level=level
    )
    shape = *(() if folds is None else (len(folds),)), *probes, *columns
    found = jax.tree.map(lambda leaf: leaf.reshape(shape), found)
    return {name: Interval(*(part[name] for part in found)) for name in chosen}


@functools.cache
def _of_all(metrics: tuple) -> Callable:
    """One metric that is those of all probes: the same function for the same, compiled once."""

    def metric(o, parts, drawn):
        y, weight, folds = parts
        folds = jnp.ones((1, len(o)), bool) if folds is None else folds

        def of_probe(place):
            fold, probe = jnp.divmod(place, o.shape[1])
            concept = probe % y.shape[1]
            outputs, own = o[:, probe], jnp.where(folds[fold], weight[:, concept], 0)
            there = jnp.isfinite(outputs).reshape(len(o), -1).all(axis=1)
            own = jnp.where(there, own if drawn is None else own * drawn, 0)
            outputs = where_present(there, outputs)
            empty = jnp.all(own == 0)
            values = {name: of(outputs, y[:, concept], own) for name, of in metrics}
            return jax.tree.map(lambda value: jnp.where(empty, jnp.nan, value), values)

        return jax.lax.map(of_probe, jnp.arange(len(folds) * o.shape[1]))

    return metric


def _known_to_some(o, weight):
    """The rows that some probe predicts and that have weight: others are not drawn in vain."""
    if not checks.is_known(o, weight):
        return None
    there = ~np.isnan(np.asarray(o)).reshape(len(o), -1).all(axis=1)
    rows = np.flatnonzero(there & (np.asarray(weight) != 0).any(axis=1))
    return rows if 0 < len(rows) < len(o) else None


def _axes(o, y) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The leading axes of probes, and those of concepts."""
    if y.ndim in (1, 2) and o.shape[-y.ndim :] == y.shape:
        return o.shape[: -y.ndim], y.shape[1:]
    if y.ndim in (1, 2) and o.ndim > y.ndim and o.shape[-y.ndim - 1 : -1] == y.shape:
        return o.shape[: -y.ndim - 1], y.shape[1:]
    raise ValueError(
        f"o has shape {o.shape} and y {y.shape}; expected y (n,) or (n, k), and o (…, *y.shape), "
        "or (…, *y.shape, classes)."
    )


def _require_targets(y, weight, classes: tuple[int, ...], chosen: dict) -> None:
    """Raise for targets that a metric refuses, which it cannot inside the program."""
    if not checks.is_known(y, weight):
        return
    blank = np.zeros((y.size, *classes), np.float32)
    y, weight = (np.asarray(leaf).reshape(-1) for leaf in (y, weight))
    for metric in chosen.values():
        jax.eval_shape(functools.partial(metric, blank, y, weight))

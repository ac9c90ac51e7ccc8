"""What a model is worth: metrics that suit its loss, their intervals, and a trivial model beside.

Tables are scored in double precision, as they are predicted. One program computes all metrics of
all bootstrap samples.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlinear as jl
from jaxlinear.cli.losses import LOSSES, has_log_mean, has_signs, is_classifier, is_independent
from jaxlinear.cli.task import Part
from jaxlinear.model import metrics
from jaxlinear.model.declaration import family_of

_RESAMPLED = 2_000_000  # numbers in all bootstrap samples: a second or two
_SAMPLES = (200, 1000)
_DRAWN = 10_000  # rows that are drawn one by one; of more, as many runs of rows


class Scores(NamedTuple):
    """The metrics of one set by name, and 95 % intervals of them, or None."""

    value: dict[str, float]
    interval: dict[str, tuple[float, float]] | None


def score(
    loss: str, o: np.ndarray, batch: Part, *, seed: int | None = None, rows: int = 0
) -> Scores:
    """The metrics of outputs o; with a seed, also their bootstrap intervals, by whole groups.

    Very many rows are drawn by runs of neighbours, which are independent, too, and quicker. One
    program is compiled for all sets that are filled up to as many ``rows``.
    """
    with jax.enable_x64(batch.x.dtype != np.uint8):
        measure = _measure(loss)
        if seed is None:
            filled = jl.resample.pad(jl.Batch(o, batch.y, batch.weight), max(rows, len(o)))
            return Scores(_numbers(loss, jax.jit(measure)(*filled)), None)
        samples = int(np.clip(_RESAMPLED // np.size(o), *_SAMPLES))
        groups = batch.group
        if groups is None and len(o) > 2 * _DRAWN:
            groups = np.arange(len(o)) * _DRAWN // len(o)
        found = jl.resample.interval(
            measure, jax.random.key(seed), o, batch.y, batch.weight, groups=groups, samples=samples
        )
        value, low, high = (_numbers(loss, part) for part in found)
    return Scores(value, {name: (low[name], high[name]) for name in value})


def _numbers(loss: str, measured: dict) -> dict[str, float]:
    return {name: float(measured[name]) for name in _metrics_of(loss)}


@functools.cache  # one function for one loss, for which one program is compiled
def _measure(loss: str):
    """``measure(o, y, weight)``: all metrics that suit a loss, by name."""

    def measure(o, y, weight):
        return {name: metric(o, y, weight) for name, metric in _metrics_of(loss).items()}

    return measure


def _metrics_of(loss: str) -> dict:
    return {"loss": metrics.mean(LOSSES[loss])} | _beside_the_loss(loss)


def _beside_the_loss(loss: str) -> dict:
    if is_classifier(loss):
        decisions = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision")
        names = decisions if has_signs(loss) else (*decisions, "brier")
        return {name: _classified(getattr(metrics, name), loss) for name in names}
    numbers = {name: getattr(metrics, name) for name in ("rmse", "mae")}
    if has_log_mean(loss):
        of_mean = {name: _of_mean(metric) for name, metric in numbers.items()}
        return {
            "deviance": metrics.deviance(LOSSES[loss]),
            "d2": metrics.d2(LOSSES[loss]),
        } | of_mean
    return numbers | {"r2": metrics.r2}


def watched(loss: str) -> dict:
    """What to measure after every epoch, beside the loss."""
    if is_classifier(loss):
        return {"accuracy": _classified(metrics.accuracy, loss)}
    return {} if has_log_mean(loss) else {"r2": metrics.r2}


def _classified(metric, loss: str):
    independent = is_independent(loss)

    def of(o, y, weight=None):
        return metric(o, y > 0 if has_signs(loss) else y, weight, independent=independent)

    return of


def _of_mean(metric):
    return lambda o, y, weight=None: metric(jnp.exp(o), y, weight)


class Trivial(NamedTuple):
    """The outputs () or (k,) of the best model without features, and what it predicts."""

    o: np.ndarray
    predicts: str


def trivial(loss: str, train: Part, names: tuple[str, ...], outputs: tuple[int, ...]) -> Trivial:
    """The constant outputs with the least mean loss over the training examples."""
    y, weight = np.asarray(train.y), train.weight
    family = family_of(LOSSES[loss])
    if train.offset is not None:
        nothing = np.zeros((len(y), 1), np.float32)
        fit = jl.glm(LOSSES[loss], nothing, y, offset=train.offset, weight=weight)
        o = np.asarray(fit.params.b, np.float64)
    elif family is None:
        o = np.reshape([_least(loss, column, weight) for column in _columns(y)], outputs)
    else:
        hot = loss == "softmax_cross_entropy" and y.ndim == 1
        y = np.eye(*outputs)[y] if hot else np.asarray(y, np.float64)
        mean = np.average(y, axis=0, weights=weight)
        eps = np.finfo(np.float32).eps
        mean = np.clip(mean, eps, 1 - eps) if is_classifier(loss) else mean
        with jax.enable_x64(True):
            o = np.asarray(jax.jit(family.link)(mean))
    if loss == "softmax_cross_entropy" and names:
        return Trivial(o, f"always {names[int(o.argmax())]}")
    return Trivial(o, "the same for every row")


def _columns(y: np.ndarray) -> np.ndarray:
    return y.reshape(len(y), -1).T


def _least(loss: str, y: np.ndarray, weight) -> float:
    """The constant with the least loss, to a 400th of the range: with kinks, it is a target."""
    shares = np.linspace(0, 1, 401)
    among = np.append(np.quantile(y, shares, method="nearest"), y.min() + shares * np.ptp(y))
    with jax.enable_x64(True):
        each = jax.vmap(lambda o: metrics.mean(LOSSES[loss])(jnp.full(len(y), o), y, weight))
        return float(among[np.argmin(each(jnp.asarray(among, float)))])


def constant(trivial: Trivial, part: Part) -> np.ndarray:
    """The outputs of the trivial model for every row of a set."""
    o = np.broadcast_to(trivial.o, (len(part.x), *trivial.o.shape)).copy()
    return o if part.offset is None else o + part.offset.reshape(-1, *[1] * (o.ndim - 1))

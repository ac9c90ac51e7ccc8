"""The bootstrap: samples of the examples with replacement, as weights, and what they tell."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxlinear import checks

_AT_ONCE = 2**17  # weights of samples at a time, which then stay in the cache


class Interval(NamedTuple):
    """A value, and the ends of an interval about it; or several, in any pytree."""

    value: PyTree[Float[Array, ""]]
    low: PyTree[Float[Array, ""]]
    high: PyTree[Float[Array, ""]]


def bootstrap(
    key: PRNGKeyArray, n: int, models: int, *, poisson: bool = False
) -> Float[Array, "models n"]:
    """How often each example is drawn, for ``models`` bootstrap samples of n (Efron, 1979).

    Counts of n draws with replacement, which sum to n; or, with ``poisson``, independent Poisson
    counts of mean 1, which can be drawn for each example alone (Chamandy et al., 2012).
    scikit-learn's ``resample``, without copies of the data.

    >>> print(bootstrap(jax.random.key(0), 5, 2).sum(axis=1))
    [5. 5.]
    """
    n, models = checks.count(n, "n"), checks.count(models, "models")
    if poisson:
        return jax.random.poisson(key, 1.0, (models, n)).astype(jnp.float32)
    return jax.vmap(lambda key: _draws(key, n))(jax.random.split(key, models))


def interval(
    metric: Callable,
    key: PRNGKeyArray,
    o,
    y,
    weight=None,
    *,
    groups=None,
    samples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The metric of a split, and the interval in which most bootstrap samples of it lie.

    ``metric(o, y, weight)`` is one of ``jaxlinear.metrics``, or any other that takes weights, or
    makes several, as a dict or an array, each of which has its own interval. It is
    computed for ``samples`` resampled splits in one program, and ``low`` and ``high`` are the
    percentiles that leave (1 − level) / 2 of them on either side (Efron and Tibshirani, "An
    introduction to the bootstrap", 1993, 13.3). Samples without a value, as the ROC AUC of one
    class, are left out. ``groups`` (n,), in numbers or words, draws whole groups: for examples
    that belong together, such as those of a patient. The interval is that of the sampled examples;
    that the model was fitted to other samples is not part of it.

    scikit-learn's metrics in a loop over ``resample``; ``scipy.stats.bootstrap``.

    >>> o = jax.random.normal(jax.random.key(0), (500,))
    >>> accuracy = interval(jl.metrics.accuracy, jax.random.key(1), o, o > 0.1)
    >>> print(accuracy.low < accuracy.value < accuracy.high)
    True
    """
    samples = checks.count(samples, "samples")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a number between 0 and 1, such as 0.95.")
    group, number = None, len(o)
    if groups is not None:
        names, group = checks.names_and_numbers(groups, len(o))
        number = len(names)
    jax.eval_shape(lambda: metric(o, y, weight))  # checks values, which are not yet traced
    ends = (1 - level) / 2, (1 + level) / 2
    return _interval(metric, samples, number, ends, key, o, y, weight, group)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _interval(metric, samples: int, number: int, ends, key, o, y, weight, group) -> Interval:
    """The metric and its percentiles over samples of ``number`` examples or groups."""

    batches = -(-(samples + 1) // max(1, _AT_ONCE // len(o)))
    at_once = -(-(samples + 1) // batches)
    count = batches * at_once  # no batch is smaller, and compiled apart

    def of_sample(place):
        drawn = _draws(jax.random.fold_in(key, place), number)
        drawn = jnp.where(place == 0, 1, drawn)  # the first is the split itself
        drawn = drawn if group is None else drawn[group]
        return metric(o, y, drawn if weight is None else drawn * weight)

    values = jax.lax.map(of_sample, jnp.arange(count), batch_size=at_once)

    def percentile(end):
        return jax.tree.map(
            lambda each: jnp.nanquantile(each[1 : samples + 1], end, axis=0), values
        )

    return Interval(jax.tree.map(lambda each: each[0], values), *map(percentile, ends))


def _draws(key, n: int):
    """How often each of n is drawn in n draws with replacement."""
    return jnp.zeros(n, jnp.float32).at[jax.random.randint(key, (n,), 0, n)].add(1)

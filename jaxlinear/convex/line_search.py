"""The length of a step along a direction of descent, by the outputs alone: no product with x.

Along outputs o + t Δ a convex objective is a function φ of one number, whose slope only rises. A
length is searched for at which φ is lower and the slope is at most half of what it was (Wolfe's
conditions; Nocedal and Wright, *Numerical Optimization*, 2006, 3.1).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxlinear.convex.problem import Problem, Values, values_at

_TRIALS = 80
_FEW = 4  # trials, after which a slope below the noise of the value is as good as none


class Ray(NamedTuple):
    """Points θ + t d: their outputs o + t Δ, and the mean loss at t = 0.

    The penalty rises by ``first`` t + ``second`` t². ``slope`` is φ'(0), ``size`` what the rounding
    of φ(0) is relative to.
    """

    outputs: Float[Array, "n k"]
    change: Float[Array, "n k"]
    value: Float[Array, ""]
    first: Float[Array, ""]
    second: Float[Array, ""]
    slope: Float[Array, ""]
    size: Float[Array, ""]


class Found(NamedTuple):
    """A length, and what is known there; ``good`` where it is one that was searched for.

    ``rise`` is φ(t) − φ(0).
    """

    t: Float[Array, ""]
    values: Values
    rise: Float[Array, ""]
    slope: Float[Array, ""]
    good: Bool[Array, ""]


class Trial(NamedTuple):
    """A length between ``low``, where the slope is ``slope``, and ``high``, too far."""

    t: Float[Array, ""]
    low: Float[Array, ""]
    slope: Float[Array, ""]
    high: Float[Array, ""]
    number: Int[Array, ""]


class _Seen(NamedTuple):
    """What is known at the trial before, and whether that was good."""

    values: Values
    rise: Float[Array, ""]
    here: Float[Array, ""]
    done: Bool[Array, ""]


def search(loss: Callable, problem: Problem, ray: Ray) -> Found:
    """The first trial that is good, from t = 1 on, which is the length of Newton's step."""

    def look(carry):
        trial, _ = carry
        values = values_at(loss, problem, ray.outputs + trial.t * ray.change)
        rise, here = along(ray, trial.t, values.value - ray.value, values.slopes * ray.change)
        trial, done = judged(ray, trial, rise, here)
        return trial, _Seen(values, rise, here, done)

    nothing = Values(ray.value, jnp.zeros_like(ray.outputs), ray.size)
    start = _Seen(nothing, jnp.zeros_like(ray.slope), ray.slope, ~(ray.slope < 0))
    trial, last = jax.lax.while_loop(
        lambda carry: ~carry[1].done & has_trials(carry[0]), look, (first_trial(ray), start)
    )
    return Found(trial.t, last.values, last.rise, last.here, last.done & (ray.slope < 0))


def first_trial(ray: Ray) -> Trial:
    """The length of Newton's step."""
    one = jnp.ones_like(ray.slope)
    return Trial(one, 0 * one, ray.slope, jnp.inf * one, jnp.int32(0))


def has_trials(trial: Trial) -> Bool[Array, ""]:
    """Whether another trial is allowed."""
    return trial.number < _TRIALS


def along(ray: Ray, t, rise, slopes):
    """φ(t) − φ(0) and φ'(t), from those of the mean loss: its slope is the sum of ``slopes``."""
    return rise + t * (ray.first + t * ray.second), (
        jnp.sum(slopes) + ray.first + 2 * t * ray.second
    )


def judged(ray: Ray, last: Trial, rise, here) -> tuple[Trial, Bool[Array, ""]]:
    """Whether a trial is good, by the ``rise`` and the slope ``here``; and the next where not.

    It is where φ is lower, as far as rounding can tell, and the slope flatter.
    """
    noise = 16 * jnp.finfo(ray.slope.dtype).eps * ray.size
    t, low, slope_low, high, number = last
    down = jnp.isfinite(rise) & (rise <= 1e-4 * t * ray.slope + noise)
    flat = jnp.abs(here) <= -ray.slope / 2
    # Less than the noise is all the same, but a kink may lie on the way to what is more.
    flat |= (-ray.slope <= noise) & ((here <= noise) | (number >= _FEW))
    done = down & flat
    root = low + (t - low) * slope_low / (slope_low - here)
    short = down & (here < 0)
    low, slope_low = jnp.where(short, t, low), jnp.where(short, here, slope_low)
    high = jnp.where(short, high, t)
    following = jnp.where(done, t, _between(low, high, root, number))
    return Trial(following, low, slope_low, high, number + 1), done


def _between(low, high, root, number):
    """The next trial: where the slope would be 0 were it a line, as far as the interval allows.

    An exponential is no line: after e^99 at t = 1 the root is at 1e-43. So a trial lowers ``high``
    tenfold at most, and by more where that has not been enough, as of a loss whose curvature has
    died away; and as the root may lie at one end again and again, every other trial is the middle.
    """
    less = high / 10 / 4.0 ** number.astype(high.dtype)
    open_end, open_start = jnp.isinf(high), low == 0
    width = jnp.where(open_end, low, high - low)
    least = jnp.where(open_end, 2 * low, jnp.where(open_start, less, low + width / 10))
    most = jnp.where(open_end, 10 * low, high - width / 10)
    far = high > 4 * low  # then the middle of the logarithms
    middle = jnp.where(far, jnp.sqrt(low) * jnp.sqrt(high), low + width / 2)
    middle = jnp.where(open_end, 10 * low, jnp.where(open_start, less, middle))
    use_root = ~jnp.isnan(root) & ((number % 2 == 0) | open_end)
    return jnp.where(use_root, jnp.clip(root, least, most), middle)

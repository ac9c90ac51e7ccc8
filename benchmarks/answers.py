"""How near an answer is to the one that is right."""

from collections.abc import Callable

import numpy as np

import jaxlinear as jl
from benchmarks import float64

SAME = "same choice, %"


def near(expected: jl.Linear, tolerance: float, *, stacked: bool = False) -> Callable:
    """A check that gives the correct digits of w, or refuses w and b.

    Errors are parts of the largest number of the fit that they belong to. Of ``stacked`` fits
    an answer may hold a part: every so manieth.
    """
    expected = expected if stacked else float64.stack([expected])

    def check(params) -> float:
        params = params if stacked else [params]
        found = float64.stack(params) if isinstance(params, list) else params
        right = jl.Linear(*(a[:: len(expected.w) // len(found.w)] for a in expected))
        errors = [_error(f, r, right.w) for f, r in zip(found, right, strict=True)]
        for name, error in zip("wb", errors, strict=True):
            if not error <= tolerance:  # a NaN is refused too
                raise ValueError(f"{name} is off by {error:.1e}, expected at most {tolerance:g}")
        return _digits(errors[0])

    return check


def _error(found, right, w) -> float:
    """The largest error of a fit over its largest number; w says how large b may be off."""
    found = np.asarray(found, np.float64)
    if found.shape != right.shape:
        raise ValueError(f"got shape {found.shape}, expected {right.shape}")
    count = len(right)
    largest = np.maximum(_largest(right, count), _largest(w, count))
    return float(np.max(_largest(found - right, count) / largest))


def _largest(a, count: int):
    return np.abs(a).reshape(count, -1).max(axis=1)


def _digits(error: float) -> float:
    return round(float(-np.log10(max(error, 1e-16))), 1)


def one_choice(l2s, expected, tolerance: float) -> Callable:
    """A check of scores (m, k) and of the l2 of the least mean score; gives correct digits."""
    best = np.argmin(expected.mean(axis=1))

    def check(answer) -> float:
        scores = np.asarray(answer.scores, np.float64)
        if scores.shape != expected.shape:
            raise ValueError(f"got scores of shape {scores.shape}, expected {expected.shape}")
        error = np.max(np.abs(scores / expected - 1))
        if not error <= tolerance:
            raise ValueError(f"scores are off by {error:.1e}, expected at most {tolerance:g}")
        if nearest(l2s, answer.l2) != best:
            raise ValueError(f"chose l2 = {float(answer.l2):g}, expected {l2s[best]:g}")
        return _digits(error)

    return check


def choices(l2s, expected, *, least_same: float = 0.995, tie: float = 1e-3) -> Callable:
    """A check of an l2 for each target; gives the percentage of those equal to float64's.

    Where two scores (m, k) tie but for a thousandth, rounding may choose either.
    """
    best, targets = np.argmin(expected, axis=0), np.arange(expected.shape[1])
    least = expected[best, targets]

    def check(answer) -> float:
        chosen = nearest(l2s, answer.l2)
        if chosen.shape != best.shape:
            raise ValueError(f"got l2 of shape {chosen.shape}, expected {best.shape}")
        same = np.mean(chosen == best)
        worst = np.max(expected[chosen, targets] / least - 1)
        error = np.max(np.abs(np.min(answer.scores, axis=0) / least - 1))
        if not (same >= least_same and worst <= tie and error <= tie):
            raise ValueError(
                f"{100 * same:.2f} % of the choices are those of float64, a choice costs up to "
                f"{worst:.1e}, and scores are off by up to {error:.1e}"
            )
        return round(100 * float(same), 2)

    return check


def nearest(l2s, l2) -> np.ndarray:
    """The position of l2 in l2s, whatever it has been rounded or scaled by on the way."""
    l2 = np.asarray(l2, np.float64)
    return np.argmin(np.abs(np.log(l2[..., None] / l2s)), axis=-1)

"""From a model's outputs to what a person asks for: classes, probabilities, numbers."""

import numpy as np

import jaxlinear as jl
from jaxlinear import checks
from jaxlinear.cli.losses import has_signs, is_independent, mean_of

_ROWS = 8192  # images are scaled in memory, so a few thousand at a time


def outputs_of(params: jl.Linear, x, offset=None) -> np.ndarray:
    """The outputs (n,) or (n, k) of all rows of x; in double precision unless x is bytes."""
    predict = jl.predict if x.dtype == np.uint8 else _predict_in_double
    parts = [predict(params, x[start : start + _ROWS]) for start in range(0, len(x), _ROWS)]
    o = np.concatenate(parts)
    return o if offset is None else o + np.reshape(offset, (-1, *[1] * (o.ndim - 1)))


def _predict_in_double(params: jl.Linear, x: np.ndarray) -> np.ndarray:
    w, b = (np.asarray(each, np.float64) for each in params)
    checks.features(x[:1], width=w.shape[-1])
    return x.astype(np.float64) @ w.T + b


def decide(loss: str, o) -> tuple[np.ndarray, np.ndarray]:
    """The label of every row and its probability (for hinge losses: the margin |o|), both (n,).

    For k labels that do not exclude each other, both are (n, k).
    """
    if not is_independent(loss):
        p = mean_of(loss, o)
        return p.argmax(1), p.max(1)
    label = (o > 0).astype(int)
    if has_signs(loss):
        return label, np.abs(o)
    p = mean_of(loss, o)
    return label, np.where(label == 1, p, 1 - p)

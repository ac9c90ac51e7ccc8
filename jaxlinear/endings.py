"""How a fit ends: its status, NaN for what failed, and the value that is to blame."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool

from jaxlinear import checks
from jaxlinear.loops import when
from jaxlinear.types import Batch, Fit, Linear, Status


def first_true(conditions: dict, otherwise: Status):
    """The status of the first of the conditions that holds."""
    codes = [jnp.int32(code) for code in conditions]
    return jnp.select(list(conditions.values()), codes, jnp.int32(otherwise))


def status_of(sound, short, right):
    """The status of an exact fit: ``short`` of rank, ``right`` to the digits promised."""
    return first_true(
        {
            Status.NONFINITE_INPUT: ~sound,
            Status.RANK_DEFICIENT: short,
            Status.STALLED_AT_PRECISION: ~right,
        },
        Status.CONVERGED,
    )


def usable(status) -> Bool[ArrayLike, "*models"]:
    """Whether a fit ended at an optimum, as near as its dtype can tell."""
    ends = (Status.CONVERGED, Status.STALLED_AT_PRECISION, Status.RANK_DEFICIENT)
    return functools.reduce(operator.or_, (status == end for end in ends))


def located(fit: Fit, x, y, weight) -> Fit:
    """The fit, or an error that says which value of x is not finite, where that is known."""
    if checks.is_traced(fit):
        return fit
    if np.any(np.asarray(fit.report.status) == Status.NONFINITE_INPUT):  # without a program
        checks.examples(x, y, weight, "real")
    dtype = fit.params.b.dtype
    if dtype.itemsize < 4 and any(np.isinf(leaf).any() for leaf in fit.params):
        raise ValueError(
            f"the parameters of this fit are larger than {float(jnp.finfo(dtype).max):g}, the "
            f"largest {dtype}, which is the dtype of x. Pass x.astype(np.float32)."
        )
    return fit


def checked(fit: Fit, sound, batch: Batch) -> Fit:
    """The fit in the dtype of x, with NaN for parameters and a status where x is not sound."""
    failed = ~sound | (fit.report.status == Status.NONFINITE_INPUT)
    # Squares overflow before x does: sound data may still end in inf.
    overflow = when(jnp.any(failed) & sound, checks.finite_where_present, batch, jnp.array(False))
    why = jnp.where(overflow, jnp.int32(Status.DIVERGED), jnp.int32(Status.NONFINITE_INPUT))
    report = fit.report._replace(status=jnp.where(failed, why, fit.report.status))
    return fit._replace(params=marked(fit.params, failed, batch.x.dtype), report=report)


def marked(params: Linear, failed, x_dtype) -> Linear:
    """The parameters in the dtype of x, NaN where the fit failed."""
    dtype = x_dtype if jnp.issubdtype(x_dtype, jnp.floating) else params.w.dtype

    def mark(leaf):
        bad = failed.reshape(*failed.shape, *[1] * (leaf.ndim - failed.ndim))
        return jnp.where(bad, jnp.nan, leaf).astype(dtype)

    return jax.tree.map(mark, params)


def unless_blind(fit: Fit, blind, why=Status.STALLED_AT_PRECISION) -> Fit:
    """The fit, which has no good status where no score chose it, but that which says why."""
    why = jnp.where(usable(why), Status.STALLED_AT_PRECISION, why)
    why = jnp.asarray(why, fit.report.status.dtype)
    status = jnp.where(blind & usable(fit.report.status), why, fit.report.status)
    return fit._replace(report=fit.report._replace(status=status))

"""How a fit ends: its status, NaN where it failed, and the value that caused the failure."""

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
    """The status of the first condition that is true, or ``otherwise``."""
    codes = [jnp.int32(code) for code in conditions]
    return jnp.select(list(conditions.values()), codes, jnp.int32(otherwise))


def status_of(sound, short, right):
    """The status of an exact fit: ``sound`` data, ``short`` of full rank, ``right`` digits."""
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
    """The fit; raises for the value of x that is not finite, or for overflow in half precision."""
    if not checks.is_known(fit):
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
    """The fit in the shape of y and the dtype of x; if it failed, NaN and the status of failure."""
    failed = ~sound | (fit.report.status == Status.NONFINITE_INPUT)
    # Squares overflow before x does: a fit of finite data may still end in inf.
    overflow = when(jnp.any(failed) & sound, checks.finite_where_present, batch, jnp.array(False))
    why = jnp.where(overflow, jnp.int32(Status.DIVERGED), jnp.int32(Status.NONFINITE_INPUT))
    report = fit.report._replace(status=jnp.where(failed, why, fit.report.status))
    params = shaped(fit.params, batch.y.shape[1:])
    return fit._replace(params=marked(params, failed, batch.x.dtype), report=report)


def shaped(params: Linear, outputs: tuple[int, ...]) -> Linear:
    """The parameters of k outputs, reshaped for targets (n, *outputs): no axis k for y (n,)."""
    w, b = params
    shape = *b.shape[:-1], *outputs
    return Linear(w.reshape(*shape, w.shape[-1]), b.reshape(shape))


def marked(params: Linear, failed, x_dtype) -> Linear:
    """The parameters in the dtype of x, NaN where the fit failed."""
    dtype = x_dtype if jnp.issubdtype(x_dtype, jnp.floating) else params.w.dtype

    def mark(leaf):
        bad = failed.reshape(*failed.shape, *[1] * (leaf.ndim - failed.ndim))
        return jnp.where(bad, jnp.nan, leaf).astype(dtype)

    return jax.tree.map(mark, params)


@jax.jit
def unless_blind(fit: Fit, blind, why=Status.STALLED_AT_PRECISION) -> Fit:
    """The fit, with the status ``why`` where no score is finite: its penalty was not chosen by one.

    A ``why`` that is itself a success becomes STALLED_AT_PRECISION; a fit that failed keeps its
    own status.
    """
    why = jnp.where(usable(why), Status.STALLED_AT_PRECISION, why)
    why = jnp.asarray(why, fit.report.status.dtype)
    status = jnp.where(blind & usable(fit.report.status), why, fit.report.status)
    return fit._replace(report=fit.report._replace(status=status))

"""Columns and targets scaled by powers of two: their squares neither overflow nor underflow."""

import jax
import jax.numpy as jnp

from jaxlinear.rows.absent import power_of_two, relative, where_present
from jaxlinear.rows.means import away_from, guess_of_mean, rows_of, sample_of
from jaxlinear.types import Batch, Examples, Fit, Linear, Rows, Status, Units


def counted(batch: Batch, intercept: bool, l2, *, common: bool) -> Examples:
    """The batch with the units of its columns and targets, and y as (n, k).

    ``common`` gives all columns the same unit, for solvers that add the same α to all of them.
    """
    y = batch.y.reshape(len(batch.y), -1)
    batch = batch._replace(y=y, weight=relative(batch.weight))
    x, y = (_size(batch, name, intercept) for name in ("x", "y"))
    if common:  # the geometric mean of the largest and the least, for the sake of their squares
        least = jnp.min(jnp.where(x == 0, jnp.inf, x))
        middle = jnp.sqrt(jnp.max(x)) * jnp.sqrt(jnp.where(jnp.isinf(least), 0, least))
        x = jnp.full_like(x, middle)
    # In a smaller unit the penalty on a tiny column would overflow.
    x = jnp.maximum(x, 1e-9 * jnp.sqrt(jnp.max(jax.lax.stop_gradient(jnp.asarray(l2)))))
    x = jnp.ones_like(x) if batch.x.dtype == jnp.uint8 else power_of_two(x)
    return Examples(*batch, Units(x, power_of_two(jnp.max(y))))


def _size(batch: Rows, name: str, intercept: bool):
    """The largest distance from the mean (without intercept: from 0) in a sample of the rows."""
    mean = guess_of_mean(batch, name)
    sample = sample_of(batch)

    def farthest(center):
        rows = where_present(sample.weight, away_from(sample, name, center))
        return jnp.max(jnp.abs(rows), axis=0)

    spread = farthest(mean if intercept else jnp.zeros_like(mean))
    return jnp.where(spread == 0, jnp.abs(mean), spread)


def in_units(examples: Examples) -> Batch:
    """A copy of the examples as a batch, in their units."""
    if examples.x.dtype == jnp.uint8:
        return Batch(examples.x, rows_of(examples, "y"), examples.weight)
    return Batch(*(rows_of(examples, name) for name in ("x", "y")), examples.weight)


def penalty(l2, units: Units):
    """The penalties (1, d) or (k, d) of columns in their units."""
    inverse = 1 / units.x[None]  # l2 / x / x would be compiled as l2 / (x x), which may be 0 or inf
    return jnp.reshape(l2, (-1, 1)) * inverse * inverse


def from_units(fit: Fit, units: Units) -> Fit:
    """The fit in the original units; failed where a coefficient is out of the dtype's range."""
    w, b = fit.params
    ratio = (units.y / units.x)[None]
    found = jnp.where((w == 0) & jnp.isinf(ratio), 0, w * ratio)
    lost = jnp.where(w == 0, 0, jnp.abs(found / ratio - w))
    room = jnp.all(lost <= jnp.sqrt(jnp.finfo(w.dtype).eps) * jnp.max(jnp.abs(w)))
    report = fit.report
    sound = room & jnp.isfinite(b * units.y).all()
    failed = ~sound & (report.status != Status.NONFINITE_INPUT)
    return Fit(
        Linear(found, b * units.y),
        report._replace(
            status=jnp.where(failed, jnp.int32(Status.NONFINITE_INPUT), report.status),
            objective=report.objective * units.y * units.y,
            gradient_norm=report.gradient_norm * jnp.max(units.x) * units.y,
        ),
    )

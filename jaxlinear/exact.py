"""Exact fits: least squares and ridge, for any number of targets, penalties and models.

A tall x is met through its products (``gram``), a wide one through those of its rows, and what
their rounding spoils is repaired: by a QR factorisation where they are too ill-conditioned, and by
iterative refinement with residuals of twice the precision. Derivatives are implicit.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import _checks, factor, gram, implicit, residual, spectral
from jaxlinear.factor import Factor, matmul
from jaxlinear.gram import Gram
from jaxlinear.losses import squared_error
from jaxlinear.objective import stationarity
from jaxlinear.spectral import Dual, Primal
from jaxlinear.types import Batch, Examples, Fit, Linear, Report, Status

_STEPS = 20
REFINED = 1, _STEPS  # the least and the most passes of refinement


def least_squares(x, y, *, weight=None, intercept: bool = True, refine: bool = True) -> Fit:
    """Minimise Σ_i w_i ½ ‖w x_i + b − y_i‖² exactly; of all minima, the one of least ‖w‖.

    Right to the last digits that the data support, whatever the units of columns, targets and
    weights and the offsets of the columns: these are centred and scaled inside, ill-conditioned
    ones meet a QR factorisation, and the solution is refined with residuals of twice the
    precision (Björck, *Numerical Methods for Least Squares Problems*, 1996, 2.9; d2l 3.1.1.4).

    Args:
      x: (n, d), floating; or uint8, which is scaled to [0, 1]; or other integers. Any array: of
        NumPy, JAX, torch, pandas, polars, whatever has ``__array__`` or ``__dlpack__``.
      y: (n,), or (n, k) for k targets, which share one factorisation.
      weight: (n,) ≥ 0; 0 leaves an example out.
      intercept: fit b, which is never penalised; else b is 0.
      refine: False leaves out the passes of refinement: quicker, and with about half the digits
        where columns are nearly dependent.

    Returns:
      ``Fit``; ``report.rank`` is the rank of x. ``report.status`` is CONVERGED,
      RANK_DEFICIENT for the minimum-norm solution, STALLED_AT_PRECISION where the dtype cannot
      resolve the columns, DIVERGED where it has no room for a coefficient (w = 1e60), or, under
      ``jit`` and ``vmap``, NONFINITE_INPUT.

    Raises:
      ValueError or TypeError for shapes, dtypes, sparse x, NaN or inf, negative weights, and for
      float64 or integers that float32 cannot tell apart, as seconds since 1970: subtract an
      origin, or keep float64 inside ``jax.enable_x64(True)``.

    scikit-learn's ``LinearRegression``, ``numpy.linalg.lstsq`` with a column of ones,
    ``torch.linalg.lstsq``. Under ``jax.vmap`` thousands of problems are one program. Derivatives
    are those at fixed rank.

    >>> x = jnp.array([[1.0], [2.0], [4.0]])
    >>> print(least_squares(x, 3 * x[:, 0] - 1).params)
    Linear(w=Array([3.], dtype=float32), b=Array(-1., dtype=float32))
    """
    return _fit(x, y, 0.0, weight, intercept, steps=REFINED if refine else (0, 0))


def ridge(x, y, l2, *, weight=None, intercept: bool = True, refine: bool = True) -> Fit:
    """Minimise Σ_i w_i ½ ‖w x_i + b − y_i‖² / Σ_i w_i + l2/2 ‖w‖² exactly.

    l2 is a number, or (k,), one for each target; see ``least_squares`` for the rest. A tall x
    is met through x ᵀx, a wide one through x xᵀ. ``refine`` lets a solution that the rounding of
    these products has cost digits be refined; well-conditioned data take no such step.

    scikit-learn's ``Ridge(alpha=l2 * Σ w)``; torch's ``weight_decay`` on w alone (Hoerl and
    Kennard, 1970; d2l 3.7).

    >>> x = jnp.array([[-1.0], [0.0], [1.0]])
    >>> print(ridge(x, 3 * x[:, 0], 2 / 3).params.w)
    [1.5]
    """
    return _fit(x, y, l2, weight, intercept, steps=(0, _STEPS) if refine else (0, 0))


def ridge_path(x, y, l2s, *, weight=None, intercept: bool = True) -> Fit:
    """``ridge`` at every one of l2s (m,), from one factorisation; ``Fit`` stacked over l2s.

    An eigendecomposition of xᵀx, or of x xᵀ where x is wide, serves all penalties (see
    ``spectral``). There is no refinement: a member of which rounding leaves less than three
    digits is STALLED_AT_PRECISION, and ``ridge`` at its l2 is right. A loop over scikit-learn's
    ``Ridge(alpha=l2 * Σ w)``.

    >>> x = jnp.array([[-1.0], [0.0], [1.0]])
    >>> print(ridge_path(x, 3 * x[:, 0], [0.0, 2 / 3]).params.w)
    [[3. ]
     [1.5]]
    """
    batch, _, sound = _checks.examples(x, y, weight, "real", look=False)
    l2s = jnp.asarray(_checks.numbers(l2s, "l2s", gram.floating_dtype(batch.x)))
    path = _path(batch, l2s, sound, intercept=bool(intercept))
    return located(path, x, y, weight)


@functools.partial(jax.jit, static_argnames="intercept")
def _path(batch: Batch, l2s, sound, *, intercept: bool) -> Fit:
    rows = gram.examples(batch, intercept, l2s, common=True)
    l2s = gram.penalty(l2s, rows.units)[:, 0]
    decomposition = spectral.decompose(rows, intercept, l2s)
    fits = jax.vmap(lambda l2: spectral.fit(decomposition, l2))(l2s)
    return checked(jax.vmap(gram.from_units, (0, None))(fits, rows.units), sound, batch)


def _fit(x, y, l2, weight, intercept, *, steps) -> Fit:
    batch, outputs, sound = _checks.examples(x, y, weight, "real", look=False)
    l2 = _checks.number(l2, "l2", gram.floating_dtype(batch.x), shape=outputs)
    fit = _solve(batch, l2, sound, intercept=bool(intercept), steps=steps)
    return located(fit, x, y, weight)


def located(fit: Fit, x, y, weight) -> Fit:
    """The fit, or an error that says which value of x is not finite, where that is known."""
    if _checks.is_traced(fit):
        return fit
    if np.any(np.asarray(fit.report.status) == Status.NONFINITE_INPUT):  # without a program
        _checks.examples(x, y, weight, "real")
    dtype = fit.params.b.dtype
    if dtype.itemsize < 4 and any(np.isinf(leaf).any() for leaf in fit.params):
        raise ValueError(
            f"the parameters of this fit are larger than {float(jnp.finfo(dtype).max):g}, the "
            f"largest {dtype}, which is the dtype of x. Pass x.astype(np.float32)."
        )
    return fit


@functools.partial(jax.jit, static_argnames=("intercept", "steps"))
def _solve(batch: Batch, l2, sound, *, intercept: bool, steps: tuple[int, int]) -> Fit:
    n, d = batch.x.shape
    own = n >= d + intercept and not jnp.ndim(l2)
    rows = gram.examples(batch, intercept, l2, common=not own)
    return checked(fit_examples(rows, l2, intercept, steps), sound, batch)


def fit_examples(
    rows: Examples, l2, intercept: bool, steps, known: Primal | Dual | None = None
) -> Fit:
    """The fit of examples in units, or what is ``known`` of them, as a fit of the data."""
    n, d = rows.x.shape
    if n >= d + intercept and not (jnp.ndim(l2) and n == d + intercept):
        fit = _tall(rows, l2, intercept, steps, known if isinstance(known, Primal) else None)
    else:
        l2 = gram.penalty(l2, rows.units)[:, 0].reshape(jnp.shape(l2))
        fit = spectral.fit(known or spectral.decompose(rows, intercept, l2), l2)
    return gram.from_units(fit, rows.units)


def usable(status) -> Bool[ArrayLike, "*models"]:
    """Whether a fit ended at an optimum, as near as its dtype can tell."""
    ends = (Status.CONVERGED, Status.STALLED_AT_PRECISION, Status.RANK_DEFICIENT)
    return functools.reduce(operator.or_, (status == end for end in ends))


def checked(fit: Fit, sound, batch: Batch) -> Fit:
    """The fit in the dtype of x, with NaN for parameters and a status where x is not sound."""
    failed = ~sound | (fit.report.status == Status.NONFINITE_INPUT)
    # Squares overflow before x does: sound data may still end in inf.
    overflow = factor.when(
        jnp.any(failed) & sound, _checks.finite_where_present, batch, jnp.array(False)
    )
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


def _tall(rows: Examples, l2, intercept: bool, steps, known: Primal | None) -> Fit:
    fixed, l2_fixed = jax.lax.stop_gradient((rows, l2))
    known = jax.lax.stop_gradient(known)
    if known is None and jnp.ndim(l2):
        known = spectral.primal(gram.of_batch(fixed), intercept)
    made = known.made if known else gram.of_batch(fixed)
    made = made if intercept or known else gram.uncentred(made)
    penalty = gram.penalty(l2_fixed, fixed.units)
    alpha = made.weight * penalty
    if jnp.ndim(l2):
        inverse = spectral.inverse(known, alpha[:, 0])
    else:
        inverse = factor_of(fixed, made, alpha[0])
    fit = gram.fit_from(made, alpha, inverse)
    fit = _refine(fixed, made, penalty, inverse, fit, intercept, steps)
    params = implicit.optimum(
        functools.partial(_stationarity, intercept),
        _inverse_hessian,
        fit.params,
        (inverse, made.mean_x, made.weight),
        (rows, l2),
    )
    return fit._replace(params=params)


def _stationarity(intercept: bool, params: Linear, data) -> Linear:
    """The gradient of the objective in units, whose root is the fit."""
    rows, l2 = data
    strength = gram.penalty(l2, rows.units)

    def penalty(w, _):
        return jnp.sum(strength * jnp.square(jnp.atleast_2d(w))) / 2

    batch = gram.in_units(rows)
    return stationarity(squared_error, intercept, params, (batch, 0.0), penalty)


def _inverse_hessian(known, gradient: Linear) -> Linear:
    """The inverse Hessian of the objective, from that of the centred problem."""
    inverse, center, weight = known
    g_w, g_b = jnp.atleast_2d(gradient.w), jnp.atleast_1d(gradient.b)
    w = weight * factor.solve(inverse, g_w - g_b[:, None] * center[None])
    b = g_b - matmul(w, center)
    return Linear(w.reshape(gradient.w.shape), b.reshape(gradient.b.shape))


def factor_of(rows: Examples, made: Gram, alpha) -> Factor:
    """The factor of xx + diag(α), from the products where those are reliable, else from x by QR."""
    matrix = made.xx + jnp.diag(alpha)
    scale, _ = factor.unit_scale(jnp.diagonal(matrix))
    quick = factor.cholesky(matrix)

    def slow(operand):
        triangle = spectral.triangle(*operand)
        return factor.of_triangle(triangle, scale)

    above = jnp.diag(jnp.sqrt(alpha) / scale)
    operand = (rows, made.mean_x, scale, above)
    return factor.when(~factor.reliable(quick), slow, operand, quick)


class _Refined(NamedTuple):
    """A solution as a sum of two numbers, with what its last correction tells."""

    params: Linear
    rest: Linear
    report: Report
    step: Float[Array, ""]
    rate: Float[Array, ""]
    norm: Float[Array, ""]
    steps: Int[Array, ""]

    def error(self, step):
        """The error to expect: a correction times the rate at which they shrink."""
        return step * jnp.minimum(self.rate, 1)


def _refine(
    rows: Examples, made: Gram, penalty, inverse: Factor, fit: Fit, intercept: bool, steps
) -> Fit:
    """Correct the solution until its last digit is right, or the corrections stop shrinking."""
    least, most = steps
    if most == 0:
        return fit
    eps = jnp.finfo(made.xx.dtype).eps
    outputs = fit.params.b.shape
    d = len(made.mean_x)
    alpha = made.weight * penalty
    scale, _ = factor.unit_scale(jnp.diagonal(made.xx)[None] + alpha)
    share = (rows.units.x / jnp.max(rows.units.x))[None]
    sides = rows._replace(y=rows.y.reshape(len(rows.y), -1))

    def correct(state: _Refined) -> _Refined:
        w, b = state.params
        examples, center = factor.kept_inside((sides, made.mean_x), state.steps)
        sums = residual.normal(examples, state.params, state.rest, center)
        down = sums.w - alpha * (w + state.rest.w)  # −W times the gradient in w − c b
        dw = factor.solve(inverse, down)
        mean = sums.b / made.weight if intercept else jnp.zeros_like(sums.b)
        w, w_rest = residual.add((w, state.rest.w), dw)
        b, b_rest = residual.add((b, state.rest.b), mean - matmul(dw, made.mean_x))
        size = jnp.linalg.norm(w * scale, axis=1) + jnp.finfo(w.dtype).tiny
        norm = jnp.max(jnp.linalg.norm(dw * scale, axis=1) / size)
        # Every coefficient by its own size, but no less than eps of that of all together.
        own = jnp.maximum(jnp.abs(w), eps * size[:, None] / scale)
        step = jnp.max(jnp.abs(dw) / (own + jnp.finfo(w.dtype).tiny))

        def hessian(v):
            return (matmul(v, made.xx) + alpha * v) / made.weight

        # The first correction is about κ ε of the solution, and what it leaves about κ ε of itself.
        rate = jnp.where(state.steps == 0, norm, step / jnp.where(state.step > 0, state.step, 1))
        value = (sums.squares.sum() - jnp.sum(down * dw)) / made.weight
        value = (value - jnp.sum(jnp.square(mean)) + jnp.sum(penalty * w * w)) / 2
        left = hessian(dw + w_rest) - down / made.weight
        report = state.report._replace(
            objective=jnp.maximum(value, 0), gradient_norm=jnp.linalg.norm(share * left)
        )
        return _Refined(
            Linear(w, b),
            Linear(w_rest, b_rest),
            report,
            step,
            rate,
            norm,
            state.steps + 1,
        )

    def unfinished(state: _Refined):
        shrinking = (state.steps < 2) | (state.rate < 0.5)
        return (state.steps < most) & shrinking & (state.error(state.step) > eps / 16)

    params = Linear(fit.params.w.reshape(-1, d), fit.params.b.reshape(-1))
    one = jnp.ones((), eps.dtype)
    begin = one if least else jnp.where(jnp.max(inverse.error) > 8 * eps, one, 0)
    zero = jax.tree.map(jnp.zeros_like, params)
    state = _Refined(params, zero, fit.report, begin, one, one, jnp.int32(0))
    state = jax.lax.while_loop(unfinished, correct, state)
    refined = state.steps > 0
    right = jnp.where(refined, state.error(state.norm) <= eps, factor.reliable(inverse))
    sound = jnp.isfinite(state.report.objective + state.report.gradient_norm) & (made.weight > 0)
    status = gram.status_of(sound, jnp.min(inverse.rank) < d, right)
    report = state.report._replace(status=status, steps=1 + state.steps)
    params = Linear(state.params.w.reshape(*outputs, d), state.params.b.reshape(outputs))
    return Fit(params, report)

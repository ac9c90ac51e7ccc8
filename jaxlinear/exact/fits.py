"""Exact fits: least squares and ridge, for any number of targets, penalties and models.

For a tall x (more rows than columns) the solver works with the products xᵀx (``statistics``), for
a wide one with x xᵀ. The digits lost to their rounding are recovered: by a QR factorisation where
the products are too ill-conditioned and, for a tall x, by iterative refinement with residuals of
twice the precision. Derivatives follow from the implicit function theorem.
"""

import functools

import jax
import jax.numpy as jnp

from jaxlinear import checks
from jaxlinear.endings import checked, located
from jaxlinear.exact import spectral, units
from jaxlinear.exact.spectral import Decomposition
from jaxlinear.exact.static import Data, Setting
from jaxlinear.exact.tall import tall
from jaxlinear.rows.means import floating_dtype
from jaxlinear.types import Examples, Fit

_STEPS = 20
REFINED = 1, _STEPS  # the least and the most passes of refinement


def least_squares(x, y, *, weight=None, intercept: bool = True, refine: bool = True) -> Fit:
    """Minimise Σ_i w_i ½ ‖w x_i + b − y_i‖² exactly; of all minima, the one of least ‖w‖.

    Accurate to the last digits that the data support, whatever the units of columns, targets and
    weights and the offsets of the columns: the columns are centred and scaled internally, a QR
    factorisation serves ill-conditioned ones, and the solution is refined with residuals of twice
    the precision (Björck, *Numerical Methods for Least Squares Problems*, 1996, 2.9; d2l 3.1.1.4).

    Args:
      x: (n, d), floating; or uint8, which is scaled to [0, 1]; or other integers. Any array: of
        NumPy, JAX, torch, pandas, polars, whatever has ``__array__`` or ``__dlpack__``.
      y: (n,), or (n, k) for k targets, which share one factorisation.
      weight: (n,) ≥ 0; 0 leaves an example out.
      intercept: fit b, which is never penalised; else b is 0.
      refine: False skips the refinement, which is faster but gives about half the digits where
        columns are nearly dependent.

    Returns:
      ``Fit``; ``report.rank`` is the rank of x. ``report.status`` is CONVERGED,
      RANK_DEFICIENT for the minimum-norm solution, STALLED_AT_PRECISION where the dtype cannot
      resolve the columns, DIVERGED where a coefficient is out of its range (w = 1e60), or, under
      ``jit`` and ``vmap``, NONFINITE_INPUT.

    Raises:
      ValueError or TypeError for shapes, dtypes, sparse x, NaN or inf, negative weights, and for
      float64 or integers that float32 cannot tell apart, such as seconds since 1970: subtract an
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

    l2 is a number, or (k,), one for each target; see ``least_squares`` for the rest. For a tall x
    (more rows than columns) the solver works with xᵀx, for a wide one with x xᵀ. ``refine`` allows
    refinement of a tall x where the rounding of xᵀx has cost digits; well-conditioned data need
    no such step.

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
    ``spectral``). There is no refinement: a fit of which rounding leaves fewer than three
    digits has the status STALLED_AT_PRECISION; use ``ridge`` for its l2. Equivalent to a loop over
    scikit-learn's ``Ridge(alpha=l2 * Σ w)``.

    >>> x = jnp.array([[-1.0], [0.0], [1.0]])
    >>> print(ridge_path(x, 3 * x[:, 0], [0.0, 2 / 3]).params.w)
    [[3. ]
     [1.5]]
    """
    batch, _, sound = checks.examples(x, y, weight, "real", look=False)
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", floating_dtype(batch.x)))
    return located(_path(Setting(bool(intercept)), Data(batch, l2s, sound)), x, y, weight)


@functools.partial(jax.jit, static_argnums=0)
def _path(setting: Setting, data: Data) -> Fit:
    rows = units.counted(data.batch, setting.intercept, data.l2, common=True)
    l2s = units.penalty(data.l2, rows.units)[:, 0]
    decomposition = spectral.decompose(rows, setting.intercept, l2s)
    fits = jax.vmap(lambda l2: spectral.fit(decomposition, l2))(l2s)
    fits = jax.vmap(units.from_units, (0, None))(fits, rows.units)
    return checked(fits, data.sound, data.batch)


def _fit(x, y, l2, weight, intercept, *, steps) -> Fit:
    batch, outputs, sound = checks.examples(x, y, weight, "real", look=False)
    l2 = checks.number(l2, "l2", floating_dtype(batch.x), shape=outputs)
    fit = _solve(Setting(bool(intercept), steps), Data(batch, l2, sound))
    return located(fit, x, y, weight)


@functools.partial(jax.jit, static_argnums=0)
def _solve(setting: Setting, data: Data) -> Fit:
    batch, l2, sound = data
    n, d = batch.x.shape
    own = n >= d + setting.intercept and not jnp.ndim(l2)
    rows = units.counted(batch, setting.intercept, l2, common=not own)
    return checked(fit_examples(setting, rows, l2), sound, batch)


def fit_examples(
    setting: Setting, rows: Examples, l2, decomposition: Decomposition | None = None
) -> Fit:
    """The fit of scaled examples, in the units of the data; from a decomposition where given."""
    (n, d), intercept = rows.x.shape, setting.intercept
    more = spectral.is_tall(n, d, intercept)
    if more or (n == d + intercept and not jnp.ndim(l2)):
        fit = tall(setting, rows, l2, decomposition if more else None)
    else:
        l2 = units.penalty(l2, rows.units)[:, 0].reshape(jnp.shape(l2))
        fit = spectral.fit(decomposition or spectral.decompose(rows, intercept, l2), l2)
    return units.from_units(fit, rows.units)

"""The optimum of every smooth convex loss: the named fits, and ``glm`` for a loss of your own.

SGD gives a good model; these give *the* model, with a status, a bound on the distance to the
optimum, and derivatives with respect to all data by the implicit function theorem.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.convex.solve import path, solve
from jaxlinear.convex.static import MOST_STEPS, arranged
from jaxlinear.endings import located
from jaxlinear.model import losses
from jaxlinear.types import Fit, Linear


def softmax_regression(
    x,
    y,
    l2=0.0,
    *,
    classes: int | None = None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """Minimise Σ_i w_i cross_entropy(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    y is (n,) of integer labels, or (n, k) of distributions; ``classes`` is k where the labels do
    not tell it. All k classes have coefficients, which sum to 0 over the classes: of all that
    give the same probabilities, those of least norm. See ``glm`` for the rest.

    A class without examples has its optimum at infinity: its probability is then about the
    rounding of 1, the other classes are at their optimum, and the status is STALLED_AT_PRECISION.
    Labels of which none is 0 are refused, unless ``classes`` is given.

    scikit-learn's ``LogisticRegression(C=1 / (l2 * Σ w))`` (d2l 4.1).

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> fit = softmax_regression(x, jnp.array([0, 0, 1, 1]), 0.1)
    >>> print(jl.Status(int(fit.report.status)).name, fit.params.w.sum().round(5))
    CONVERGED 0.0
    """
    fit = glm(
        losses.softmax_cross_entropy, x, y, l2, outputs=classes, weight=weight,
        intercept=intercept, tol=tol, max_steps=max_steps, init=init,
    )  # fmt: skip
    return fit if np.ndim(l2) else without_common(fit)


def without_common(fit: Fit) -> Fit:
    """The fit less what the parameters of all classes share, which changes no probability."""
    params = jax.tree.map(lambda leaf: leaf - jnp.mean(leaf, axis=0, keepdims=True), fit.params)
    return fit._replace(params=params)


def logistic_regression(
    x,
    y,
    l2=0.0,
    *,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """Minimise Σ_i w_i logistic(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    y is (n,), in [0, 1]; or (n, k), of k labels that do not exclude each other: k fits that
    share x, with a report for each. See ``glm`` for the rest.

    scikit-learn's ``LogisticRegression(C=1 / (l2 * Σ w))`` (d2l 4.1).

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> fit = logistic_regression(x, jnp.array([0.0, 0.0, 1.0, 1.0]), 0.1)
    >>> print((fit.params.w + fit.params.b).round(5))
    [0.]
    """
    return glm(
        losses.logistic, x, y, l2, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps, init=init,
    )  # fmt: skip


def poisson_regression(
    x,
    y,
    l2=0.0,
    *,
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """Minimise Σ_i w_i poisson(w x_i + b + offset_i, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    y ≥ 0 is (n,), or (n, k) for k fits that share x; the mean is exp(w x + b + offset), with the
    logarithm of the exposure as ``offset``. See ``glm`` for the rest.

    scikit-learn's ``PoissonRegressor(alpha=l2)``, R's ``glm(family = poisson)``.

    >>> x = jnp.array([[0.0], [0.0], [1.0], [1.0]])
    >>> fit = poisson_regression(x, jnp.array([1.0, 3.0, 4.0, 4.0]))
    >>> print(jnp.exp(fit.params.b).round(4), jnp.exp(fit.params.w).round(4))
    2.0 [2.]
    """
    return glm(
        losses.poisson, x, y, l2, offset=offset, weight=weight, intercept=intercept, tol=tol,
        max_steps=max_steps, init=init,
    )  # fmt: skip


def glm(
    loss: Callable,
    x,
    y,
    l2=0.0,
    *,
    outputs: int | None = None,
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
    near: bool = False,
) -> Fit:
    """Minimise Σ_i w_i loss(w x_i + b + offset_i, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum.

    Args:
      loss: ``loss(o, y)`` of one example, twice differentiable and convex in o, from ``losses``
        or your own. Where it is marked ``separable`` (see ``losses``), k outputs are k fits.
      x: (n, d), floating; or uint8, which is scaled to [0, 1]. Columns of any scale and offset.
      y: (n,) or (n, k), as the loss expects.
      l2: the strength of the penalty on w, a number or (k,); the bias is never penalised.
      outputs: the number of outputs k, where y does not tell it.
      offset: added to the outputs, (n,) for all alike, or (n, k).
      weight: (n,) ≥ 0; 0 leaves an example out.
      intercept: fit b; else b is 0.
      tol: stop after the step that promises to lower the objective by less than this part of
        it; None is 10 eps of the dtype.
      max_steps: the most steps.
      init: parameters to start from, or a ``Fit``; where w = 0 is a better start, it is taken.
      near: ``init`` is near the optimum, as the fit of all examples is to those of folds and
        bootstraps. Where they have 50 to 2,000 coefficients, the Hessian there preconditions all
        steps; under ``vmap`` over weights it is made once. The optimum is the same.

    Returns:
      ``Fit``. ``report.status`` is CONVERGED, where the objective is within 1e-5 of itself of the
      optimum (or four times ``tol``); STALLED_AT_PRECISION where rounding stopped it before, or
      parameters rounded to their dtype are farther off; MAX_STEPS; DIVERGED where there is no
      optimum, as for classes that can be separated without a penalty, a group without events, or
      no events at all with any penalty (the parameters are finite, and what has an optimum is at
      it); NO_DESCENT where the loss is not what it is said to be; or, under ``jit`` and ``vmap``,
      NONFINITE_INPUT. ``report.gap`` is how far the objective may be above the optimum.

    Raises:
      ValueError or TypeError for what can be seen before tracing: shapes, dtypes, labels out of
      range, NaN or inf, negative weights, digits that the dtype cannot hold (see
      ``least_squares``).

    Derivatives of the parameters with respect to x, y, offset, weight and l2, of any order, are
    those of the optimum. Where it is not unique (l2 = 0 and dependent columns) it is one of
    them, and there are no derivatives.

    statsmodels' ``GLM``, R's ``glm`` and, with l2, ``glmnet(alpha = 0)``.

    >>> def log_cosh(o, y):
    ...     return jnp.logaddexp(o - y, y - o)
    >>> x = jnp.linspace(-1, 1, 101)[:, None]
    >>> fit = glm(log_cosh, x, 3 * x[:, 0] + 1)
    >>> print(fit.params.w.round(4), fit.params.b.round(4))
    [3.] 1.0
    """
    setting, data, start = arranged(
        loss, x, y, outputs, offset, weight, intercept, tol, max_steps, init, near=near
    )
    l2 = checks.number(l2, "l2", data.tol.dtype, shape=start.b.shape)
    return located(solve(setting, data, l2, start), x, y, weight)


def glm_path(
    loss: Callable,
    x,
    y,
    l2s,
    *,
    outputs: int | None = None,
    offset=None,
    weight=None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """``glm`` for every penalty of l2s (m,), stacked: each fit starts from the next stronger one.

    One program for any m. See ``glm`` for the arguments; ``jax.vmap`` of ``glm`` over l2 gives
    the same fits side by side, which is faster where they are small, and needs m times the room.

    scikit-learn's ``LogisticRegressionCV``, R's ``glmnet(alpha = 0)``.

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> path = glm_path(jl.losses.logistic, x, jnp.array([0.0, 0.0, 1.0, 1.0]), [0.1, 1.0, 10.0])
    >>> print(path.params.w.round(2).ravel(), path.report.status)
    [1.18 0.22 0.02] [0 0 0]
    """
    setting, data, start = arranged(
        loss, x, y, outputs, offset, weight, intercept, tol, max_steps, init, fits=np.size(l2s)
    )
    l2s = jnp.asarray(checks.numbers(l2s, "l2s", data.tol.dtype))
    return located(path(setting, data, l2s, start), x, y, weight)

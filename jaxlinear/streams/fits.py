"""Convex fits to rows that no memory holds: the fits of ``convex.fits``, pass by pass.

The parameters, the status and the certificate are those of the fit in memory, to rounding.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.convex import columns
from jaxlinear.convex.columns import Units, nonzero
from jaxlinear.convex.fits import without_common
from jaxlinear.convex.solve import intercepts_alone
from jaxlinear.convex.static import MOST_STEPS, require_smooth
from jaxlinear.endings import marked, shaped
from jaxlinear.model import losses
from jaxlinear.model.declaration import is_separable, target_of
from jaxlinear.model.objective import Target
from jaxlinear.rows.stream import Passes
from jaxlinear.streams import newton
from jaxlinear.streams.columns import Moments, moments_of
from jaxlinear.streams.ending import report_of, scaled
from jaxlinear.streams.newton import of_penalty
from jaxlinear.streams.problem import Standard, Task, at_point
from jaxlinear.types import Fit, Linear, Report, Status

_COEFFICIENTS = 2000  # of one Hessian, at most
_ROOM = 2**26  # numbers, of the Hessians of all models


def glm(
    loss: Callable,
    stream,
    l2=0.0,
    *,
    outputs: int | None = None,
    intercept: bool = True,
    tol=None,
    max_steps: int = MOST_STEPS,
    init: Linear | Fit | None = None,
) -> Fit:
    """``jl.glm`` of the rows of a stream, in memory that does not grow with them.

    Minimise Σ_i w_i loss(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² to the optimum. A step of Newton's
    method is a pass over the stream; of more than 2,000 coefficients, as many passes as conjugate
    gradients need products with the Hessian. Some passes come before and after: five to twelve in
    all, mostly. One block is computed with while the next is read.

    Args:
      loss: as in ``jl.glm``.
      stream: batches again and again: what ``jl.data.stream`` makes, an iterable of ``Batch``, or
        a function that returns one.
      l2, outputs, intercept, tol, max_steps, init: as in ``jl.glm``.

    Returns:
      ``Fit``, as of ``jl.glm``; it has no derivatives.

    Raises:
      ValueError or TypeError for what ``jl.glm`` refuses, with the number of the block that holds
      it; for a stream that is empty, that can be read only once, or that does not bring the same
      number of rows again.

    >>> def blocks():
    ...     rng = np.random.default_rng(0)
    ...     for _ in range(10):
    ...         x = rng.normal(size=(100, 2)).astype(np.float32)
    ...         yield jl.Batch(x, rng.poisson(np.exp(x[:, 0])).astype(np.float32))
    >>> fit = glm(jl.losses.poisson, blocks)
    >>> print(fit.params.w[0].round(1), jl.Status(int(fit.report.status)).name)
    1.0 CONVERGED
    """
    require_smooth(loss)
    most = checks.count(max_steps, "max_steps")
    passes = Passes(stream, target_of(loss), outputs)
    moments = moments_of(passes, loss, bool(intercept), is_separable(loss))
    dtype = moments.center.dtype
    tol = checks.number(10 * jnp.finfo(dtype).eps if tol is None else tol, "tol", dtype)
    l2 = checks.number(l2, "l2", dtype, shape=passes.shape)
    task = _task(loss, passes.shape, len(moments.center), bool(intercept), most)
    standard, theta, mean, least = _arranged(task, passes.shape, moments, l2)
    if init is not None:
        theta = _better(task, standard, passes, theta, init)
    state = newton.minimise(task, standard, passes, theta, least, tol)
    found = _unscaled(task, standard, state.theta)
    report = report_of(task, standard, passes, state, found, mean, tol)
    return _fit(passes.shape, passes.x.dtype, found, report)


def logistic_regression(stream, l2=0.0, **options) -> Fit:
    """``jl.logistic_regression`` of the rows of a stream; ``options`` are those of ``glm``.

    >>> x = jnp.array([[0.0], [1.0], [1.0], [2.0]])
    >>> blocks = [jl.Batch(x[:2], jnp.array([0.0, 0.0])), jl.Batch(x[2:], jnp.array([1.0, 1.0]))]
    >>> fit = logistic_regression(blocks, 0.1)
    >>> print((fit.params.w + fit.params.b).round(5))
    [0.]
    """
    return glm(losses.logistic, stream, l2, **options)


def softmax_regression(stream, l2=0.0, *, classes: int | None = None, **options) -> Fit:
    """``jl.softmax_regression`` of the rows of a stream; ``options`` are those of ``glm``.

    The labels of all blocks together tell the number of classes, unless it is given.
    """
    fit = glm(losses.softmax_cross_entropy, stream, l2, outputs=classes, **options)
    return fit if np.ndim(l2) else without_common(fit)


def poisson_regression(stream, l2=0.0, **options) -> Fit:
    """``jl.poisson_regression`` of the rows of a stream, without an offset."""
    return glm(losses.poisson, stream, l2, **options)


def _task(loss: Callable, shape: tuple[int, ...], columns: int, intercept: bool, most: int) -> Task:
    separate = bool(shape) and is_separable(loss)
    models, outputs = (shape[0], ()) if separate else (1, shape)
    width = columns + intercept
    coefficients = math.prod(outputs) * width
    form = "hessian"
    if coefficients > _COEFFICIENTS or models * coefficients**2 > _ROOM:
        form = "gram" if width**2 <= _ROOM else "diagonal"
    return Task(loss, outputs, intercept, separate, form, most)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _arranged(task: Task, shape: tuple[int, ...], moments: Moments, l2):
    """How columns are standardised, and by model the start, the mean of y and the least loss."""
    k = math.prod(shape)
    root = jnp.sqrt(jnp.broadcast_to(l2, (k,)).astype(moments.center.dtype))
    # Or the penalty on a tiny column overflows.
    scale = jnp.maximum(nonzero(moments.spread), 1e-9 * jnp.max(root))
    penalty = jnp.pad(jnp.square(root[:, None] / scale[None]), ((0, 0), (0, task.intercept)))
    mean, least = moments.mean, moments.least
    if task.separate:
        penalty = penalty[:, None]
    else:
        penalty, mean, least = jax.tree.map(lambda leaf: leaf[None], (penalty, mean, least))

    def alone(penalty, mean):
        nothing = of_penalty(penalty)._replace(target=Target(None, None))
        return intercepts_alone(task.loss, task.intercept, nothing, mean)

    standard = Standard(Units(moments.center, scale), moments.weight, penalty)
    return standard, jax.vmap(alone)(penalty, mean), mean, least


@functools.partial(jax.jit, static_argnums=0)
def _unscaled(task: Task, standard: Standard, theta) -> Linear:
    """The parameters (m, k, d) in the units of the columns."""
    unscaled = functools.partial(columns.unscaled, units=standard.units, intercept=task.intercept)
    return jax.vmap(unscaled)(theta)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fit(shape: tuple[int, ...], dtype, found: Linear, report: Report) -> Fit:
    """The parameters in the shape of y and the dtype of x, and their report."""
    failed = report.status == Status.NONFINITE_INPUT
    return Fit(marked(shaped(columns.rows(found), shape), failed, dtype), report)


def _better(task: Task, standard: Standard, passes: Passes, theta, init: Linear | Fit):
    """Of ``init`` and the start θ the one whose loss is less, of every model; in two passes."""
    params = init.params if isinstance(init, Fit) else init
    params = checks.parameters(params, "init", passes.shape, passes.x)
    m, k = theta.shape[:2]
    given = Linear(np.reshape(params.w, (m, k, -1)), np.reshape(params.b, (m, k)))
    given = scaled(task, standard, given).astype(theta.dtype)
    still = jnp.zeros_like(theta)
    values = [at_point(task, standard, passes, at, still).sums.value for at in (given, theta)]
    return jnp.where((values[0] <= values[1])[:, None, None], given, theta)

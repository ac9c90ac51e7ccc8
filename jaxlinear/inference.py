"""What a fit tells beyond its coefficients: standard errors, R², leverages, likelihoods."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import _checks, columns, curvature, exact, factor, gram, losses, residual
from jaxlinear.factor import matmul, power_of_two
from jaxlinear.objective import of_vector, readable, with_target
from jaxlinear.types import Batch, Fit, Linear

_NEAR = 0.1  # standard errors, within which parameters are those of the optimum


def _rounding(size):
    """How far rounding moves outputs, of parameters whose products with x are of this size."""
    return 64 * jnp.finfo(size.dtype).eps * size


class Inference(NamedTuple):
    """The classical theory of a least-squares fit with p coefficients, b included.

    ``standard_error`` has the shape of the parameters, ``variance`` = Σ w r² / (n − p) is the
    residual variance of every target, ``degrees_of_freedom`` = n − p with n the examples of weight
    > 0 and p the rank. ``r2`` is 1 − Σ w r² / Σ w (y − ȳ)², with 0 for ȳ where there is no
    intercept. ``leverage`` is the diagonal of the hat matrix; it sums to p.
    """

    standard_error: Linear
    variance: Float[Array, "*k"]
    degrees_of_freedom: Float[Array, ""]
    r2: Float[Array, "*k"]
    leverage: Float[Array, " n"]


def of_least_squares(
    params: Linear | Fit, x, y, *, weight=None, intercept: bool = True
) -> Inference:
    """The inference of ``least_squares(x, y, …)``: of the ``Fit``, or of its ``params`` alone.

    Var(w) = σ² (Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ)⁻¹, with independent errors of variance σ² / w_i:
    weights are precisions, known up to a factor, of n − p errors. (In ``of_glm`` they count
    copies.) Errors are NaN away from the optimum: where the status of the fit says so, or a step
    of Newton's would move the parameters by a tenth of their errors and by more than rounding
    does, as after ``ridge``. The
    residuals are summed in twice the precision. Where x is rank deficient, coefficients are
    those of the minimum norm and their standard errors leave out what is undetermined.

    R's ``summary(lm)`` and ``hatvalues``, statsmodels' ``OLS`` and ``WLS``. Raises ValueError where
    n − p < 1, and for what ``least_squares`` refuses. Not differentiable.

    >>> x = jnp.array([[1.0], [2.0], [3.0], [4.0]])
    >>> y = jnp.array([1.0, 2.0, 2.0, 3.0])
    >>> print(of_least_squares(exact.least_squares(x, y).params, x, y).standard_error.w.round(4))
    [0.1414]
    """
    batch, outputs, _ = _checks.examples(x, y, weight, "real")
    n, d = batch.x.shape
    if batch.weight is not None and not _checks.is_traced(batch.weight):
        n = int(jnp.sum(batch.weight != 0))
    if n <= d + intercept:
        raise ValueError(
            f"x has shape {batch.x.shape} and {n} examples of weight > 0; expected more examples "
            f"than the {d + intercept} coefficients."
        )
    params, ended = _parted(params)
    if params.w.shape != (*outputs, d):
        raise ValueError(f"params have w {params.w.shape}; expected {(*outputs, d)}.")
    return jax.lax.stop_gradient(_of(batch, params, ended, intercept=bool(intercept)))


def _parted(params: Linear | Fit) -> tuple[Linear, Bool[ArrayLike, "*k"]]:
    """The parameters, and whether their fit, where there is one, says that it is an optimum."""
    ended = True
    if isinstance(params, Fit):
        params, ended = params.params, exact.usable(params.report.status)
    return Linear(*(_checks.numeric(leaf, "params") for leaf in params)), ended


def _nan_unless(sound, errors: Linear) -> Linear:
    return Linear(
        jnp.where(sound[..., None], errors.w, jnp.nan), jnp.where(sound, errors.b, jnp.nan)
    )


@functools.partial(jax.jit, static_argnames="intercept")
def _of(batch: Batch, params: Linear, ended, *, intercept: bool) -> Inference:
    examples = gram.examples(batch, intercept, 0.0, common=False)
    unit = examples.units
    made = gram.of_batch(examples)
    made = made if intercept else gram.uncentred(made)
    inverse = exact.factor_of(examples, made, jnp.zeros_like(made.mean_x))
    root = inverse.vectors
    rows = columns.rows(params)
    rows = Linear(rows.w * (unit.x / unit.y)[None], rows.b / unit.y)
    sides = examples._replace(y=batch.y.reshape(len(batch.y), -1))
    zero = jax.tree.map(jnp.zeros_like, rows)
    normal = residual.normal(sides, rows, zero, made.mean_x)
    squares = normal.squares.reshape(made.yy.shape)
    freedom = made.count - inverse.rank - intercept
    variance = squares / jnp.where(freedom > 0, freedom, jnp.nan)
    of_w = jnp.sum(jnp.square(root), axis=1)
    of_b = intercept / made.weight + jnp.sum(jnp.square(matmul(made.mean_x, root)))
    spread = variance[..., None] * of_w.reshape(*[1] * variance.ndim, -1)
    ratio = (unit.y / unit.x).reshape(*[1] * variance.ndim, -1)
    errors = Linear(jnp.sqrt(spread) * ratio, jnp.sqrt(variance * of_b) * unit.y)
    weight = jnp.ones((), root.dtype) if batch.weight is None else examples.weight
    scores = matmul(gram.away_from(readable(examples), "x", made.mean_x), root)
    leverage = weight * (jnp.sum(jnp.square(scores), axis=1) + intercept / made.weight)
    step, of_mean = matmul(root.T, normal.w.T), intercept * normal.b / made.weight
    distance = jnp.sum(jnp.square(step), axis=0) + made.weight * jnp.square(of_mean)
    moved = jnp.max(jnp.abs(matmul(scores, step) + of_mean[None]), axis=0)
    present = gram.away_from(examples, "x", jnp.zeros_like(made.mean_x))
    size = jnp.abs(rows.b) + matmul(jnp.abs(rows.w), jnp.max(jnp.abs(present), axis=0))
    near = distance <= jnp.square(_NEAR) * variance.reshape(-1)
    ended = ended & (near | (moved <= _rounding(size))).reshape(variance.shape)
    errors = _nan_unless(ended, errors)
    r2 = 1 - squares / jnp.where(made.yy == 0, jnp.nan, made.yy)
    if batch.weight is not None:  # σ² is that of an example of weight 1
        variance = variance * power_of_two(jnp.max(batch.weight))
    variance = variance * unit.y * unit.y
    return Inference(errors, variance, freedom, r2, leverage)


class GlmInference(NamedTuple):
    """The theory of a maximum-likelihood fit with p coefficients.

    ``standard_error`` is the root of the diagonal of φ (Σ_i w_i H_i)⁻¹, ``robust_error`` that of
    the sandwich (Σ w H)⁻¹ (Σ w g gᵀ) (Σ w H)⁻¹, which holds where the likelihood does not, with g
    and H the derivatives of the loss of an example in the coefficients. ``dispersion`` is φ,
    ``degrees_of_freedom`` = Σ w − p. ``deviance`` = 2 Σ w (loss − least loss), ``log_likelihood``
    is in nats; both are NaN for a loss whose family is not known.
    """

    standard_error: Linear
    robust_error: Linear
    dispersion: Float[Array, "*k"]
    degrees_of_freedom: Float[Array, "*k"]
    deviance: Float[Array, "*k"]
    log_likelihood: Float[Array, "*k"]


def of_glm(
    loss: Callable,
    params: Linear | Fit,
    x,
    y,
    *,
    offset=None,
    weight=None,
    intercept: bool = True,
    dispersion=None,
) -> GlmInference:
    """The inference of ``glm(loss, x, y, …)`` without a penalty: of the ``Fit``, or its ``params``.

    H is the expected second derivative where the family of the loss has one of its own (gamma,
    with its log link), else the observed one; with a canonical link they are the same. Weights
    count copies. φ is ``dispersion``, or 1 for labels and counts, or else Pearson's
    Σ w g² / H / (Σ w − p) in the outputs; it is NaN where an example has no curvature, as with
    ``huber`` (use ``robust_error``). The log-likelihood has φ = deviance / Σ w where φ is not
    known. Errors of softmax regression are those of coefficients that sum to 0 over the classes.
    What the data leave undetermined is left out.

    Errors are NaN away from the optimum: where the status of the fit says so; where a step of
    Newton's would move the parameters by a tenth of their robust errors and by more than rounding
    does, as after a fit with a penalty; or where the optimum is at infinity, as with classes that
    can be separated, since there a step is as long as an error, however small the gradient.

    R's ``summary(glm)``, ``logLik`` and ``vcovHC(type = "HC0")``; statsmodels' ``GLM`` with
    ``freq_weights`` (McCullagh and Nelder, *Generalized Linear Models*, 1989; Huber, 1967; White,
    1982). A loss of your own gets its likelihood by ``losses.family``. Raises ValueError for what
    ``glm`` refuses, and for weights that leave no degrees of freedom, such as those that sum to 1
    (NaN under ``jit``). Not differentiable.

    >>> x = jnp.array([[0.0], [0.0], [1.0], [1.0]])
    >>> y = jnp.array([1.0, 3.0, 4.0, 4.0])
    >>> told = of_glm(losses.poisson, Linear(jnp.log(jnp.array([2.0])), jnp.log(2.0)), x, y)
    >>> print(told.standard_error.b.round(4), told.deviance.round(4))  # 1 / √4
    0.5 1.0465
    """
    params, ended = _parted(params)
    outputs = params.b.shape[0] if params.b.ndim else None
    batch, shape, _ = _checks.examples(x, y, weight, losses.target_of(loss), outputs=outputs)
    dtype = gram.floating_dtype(batch.x)
    offset = _checks.offset(offset, batch, shape)
    params = _checks.parameters(params, "params", shape, batch.x)
    if dispersion is not None:
        dispersion = _checks.number(dispersion, "dispersion", dtype)
    batch = with_target(batch, offset)
    told = jax.lax.stop_gradient(_of_glm(loss, bool(intercept), batch, params, ended, dispersion))
    freedom = told.degrees_of_freedom
    if weight is not None and not _checks.is_traced(told) and not _spare(told).all():
        raise ValueError(
            f"weight sums to {jnp.sum(batch.weight):g}, and leaves {jnp.min(freedom):g} degrees of "
            "freedom; expected more. Weights count copies here: give relative weights or "
            "precisions a sum of n, as weight * len(weight) / weight.sum()."
        )
    return told


def _spare(told: GlmInference) -> Bool[Array, "*k"]:
    """Whether degrees of freedom are left, or none and none needed: a saturated model."""
    freedom = told.degrees_of_freedom
    return (freedom > 0) | (freedom == 0) & jnp.isfinite(told.dispersion)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_glm(loss: Callable, intercept: bool, batch: Batch, params: Linear, ended, dispersion):
    def model(params, y, ended):
        return _of_model(loss, intercept, batch._replace(y=y), params, ended, dispersion)

    if params.b.ndim and losses.is_separable(loss):
        ended = jnp.broadcast_to(ended, params.b.shape)
        return jax.vmap(model, in_axes=(0, 1, 0))(params, batch.y, ended)
    return model(params, batch.y, ended)


def _of_model(loss: Callable, intercept: bool, batch: Batch, params: Linear, ended, dispersion):
    family, of_outputs = losses.family_of(loss), of_vector(loss, params.b.shape)
    made = columns.standardised(batch, 0.0, intercept)
    problem = columns.penalised(made, batch, 0.0, intercept, params.b.size).own
    units = made.units
    theta = columns.scaled(columns.rows(params), units, intercept)
    outputs = columns.outputs_of(problem, theta)
    count = jnp.asarray(len(batch.x), outputs.dtype)
    count = count if batch.weight is None else jnp.sum(batch.weight)

    slopes = jax.vmap(jax.grad(of_outputs))(outputs, problem.y)
    if family and family.information:
        bends = jax.vmap(lambda o: jnp.diag(family.information(o)))(outputs)
    else:
        bends = jax.vmap(jax.hessian(of_outputs))(outputs, problem.y)
    matrix = curvature.hessian(problem, problem.share[:, None, None] * bends)
    inverse = factor.from_eigenvalues(matrix)
    freedom = count - inverse.rank

    phi = family.dispersion if dispersion is None and family else dispersion
    if phi is None and params.b.size == 1:
        pearson = jnp.square(slopes[:, 0]) / jnp.where(bends > 0, bends, jnp.nan)[:, 0, 0]
        phi = count * jnp.sum(jnp.where(problem.share > 0, problem.share * pearson, 0))
        phi = phi / jnp.where(freedom > 0, freedom, jnp.nan)
    phi = jnp.asarray(1.0 if phi is None else phi, outputs.dtype)

    directions = inverse.vectors.T.reshape(-1, *problem.penalty.shape)  # whose squares sum to H⁻¹
    scores = jnp.einsum("nk,np,rkp->nr", slopes, problem.x, directions, precision="highest")
    meat = matmul((problem.share[:, None] * scores).T, scores)
    root = jax.vmap(lambda theta: columns.unscaled(theta, units, intercept))(directions)

    def errors(middle):
        def of(root):
            rows = root.reshape(len(root), -1)
            squares = jnp.sum(rows * matmul(middle, rows), axis=0)
            return jnp.sqrt(squares / count).reshape(root.shape[1:])

        return Linear(of(root.w).reshape(params.w.shape), of(root.b).reshape(params.b.shape))

    size = jnp.max(jnp.abs(params.b) + matmul(jnp.abs(params.w), jnp.abs(units.center)))
    size = sum((jnp.max(jnp.abs(part)) for part in problem.y[1:]), size)
    size = size + jnp.max(jnp.abs(outputs))
    gradient = matmul(problem.share, scores)
    sound = ended & _at_optimum(gradient, meat, directions, problem, count, size)
    sound = sound & (inverse.rank > 0) & (inverse.rank >= _rank(problem, bends)) & (freedom >= 0)
    sound = jnp.broadcast_to(sound, params.b.shape)
    plain = _nan_unless(sound, errors(phi * jnp.eye(len(meat), dtype=meat.dtype)))
    robust = _nan_unless(sound, errors(meat))
    likelihood = _likelihood(family, problem, count, jax.vmap(of_outputs)(outputs, problem.y))
    return GlmInference(plain, robust, phi, freedom, *likelihood)


def _at_optimum(gradient, meat, directions, problem: curvature.Problem, count, size):
    """Whether a step of Newton's, H⁻¹ g, is below a tenth of an error, or below rounding.

    Its error is that of the sandwich: with s_i the slopes of the losses along it, Σ w s against
    √Σ w s². Where the optimum is at infinity no s_i is above 0, so that this is 1 at the least.
    """
    length = jnp.linalg.norm(gradient)
    along = gradient / jnp.where(length == 0, 1, length)
    error = jnp.sqrt(jnp.vdot(along, matmul(meat, along)) / count)
    step = jnp.tensordot(gradient, directions, axes=1)
    moved = jnp.max(jnp.abs(matmul(problem.x, step.T)))
    return (length <= _NEAR * error) | (moved <= _rounding(size))


def _rank(problem: curvature.Problem, bends) -> Int[Array, ""]:
    """The rank of H if all examples had the mean of the curvatures.

    Less is left where the curvature has vanished, since the optimum is at infinity.
    """
    mean = jnp.tensordot(problem.share, bends, axes=1)
    scale, _ = factor.unit_scale(jnp.diagonal(mean))
    values = jnp.linalg.eigvalsh(mean / scale[:, None] / scale[None])
    of_outputs = jnp.sum(values > jnp.sqrt(jnp.finfo(mean.dtype).eps))  # of k or, as softmax, k − 1
    one = problem._replace(penalty=problem.penalty[:1])
    gram = curvature.hessian(one, problem.share[:, None, None])
    return of_outputs * factor.from_eigenvalues(gram).rank


def _likelihood(family: losses.Family | None, problem: curvature.Problem, count, each):
    """The deviance and the log-likelihood, from the losses of the examples."""
    if family is None:
        return jnp.full_like(count, jnp.nan), jnp.full_like(count, jnp.nan)
    y = problem.y[0]
    deviance = 2 * count * jnp.sum(problem.share * (each - jax.vmap(family.least)(y)))
    phi = deviance / count if family.dispersion is None else family.dispersion
    density = jax.vmap(lambda y: family.log_density(y, phi))(y)
    return deviance, count * jnp.sum(problem.share * density) - deviance / (2 * phi)

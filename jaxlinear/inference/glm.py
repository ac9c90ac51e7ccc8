"""Maximum-likelihood inference: standard errors, robust errors, deviance and likelihood."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import checks
from jaxlinear.convex import columns
from jaxlinear.convex.problem import Problem, hessian, outputs_of
from jaxlinear.inference.optimum import at_optimum, nan_unless, parted
from jaxlinear.linalg import factor
from jaxlinear.linalg.products import matmul, unit_scale
from jaxlinear.model import families
from jaxlinear.model.declaration import family_of, is_separable, target_of
from jaxlinear.model.objective import of_vector, with_target
from jaxlinear.rows.means import floating_dtype
from jaxlinear.types import Batch, Fit, Linear


class GlmInference(NamedTuple):
    """Inference for a maximum-likelihood fit with p coefficients.

    ``standard_error`` is the root of the diagonal of φ (Σ_i w_i H_i)⁻¹, ``robust_error`` that of
    the sandwich (Σ w H)⁻¹ (Σ w g gᵀ) (Σ w H)⁻¹, which is valid even if the likelihood is
    misspecified; g and H are the gradient and the Hessian of the loss of an example in the
    coefficients. ``dispersion`` is φ, ``degrees_of_freedom`` = Σ w − p. ``deviance`` =
    2 Σ w (loss − least loss), ``log_likelihood`` is in nats; both are NaN for a loss whose family
    is not known.
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
    """Inference for ``glm(loss, x, y, …)`` without a penalty, from its ``Fit`` or ``params``.

    H is the expected Hessian where the family of the loss defines one (gamma, with its log link),
    else the observed one; with a canonical link they are the same. Weights are frequencies: they
    count copies of an example. φ is ``dispersion`` if given, else 1 for labels and counts, else
    Pearson's estimate Σ w g² / H / (Σ w − p), with g and H in the outputs; it is NaN where an
    example has no curvature, as with ``huber`` (use ``robust_error``). The log-likelihood has
    φ = deviance / Σ w where the family does not fix φ. Errors of softmax regression are those of
    coefficients that sum to 0 over the classes. Errors leave out directions that the data do not
    determine.

    Errors are NaN where the parameters are not at the optimum: where the status of the fit says
    so; where a Newton step would move them by more than a tenth of their robust errors and by
    more than rounding does, as after a fit with a penalty; or where the optimum is at infinity,
    as with separable classes, since there a Newton step is as long as a standard error, however
    small the gradient.

    R's ``summary(glm)``, ``logLik`` and ``vcovHC(type = "HC0")``; statsmodels' ``GLM`` with
    ``freq_weights`` (McCullagh and Nelder, *Generalized Linear Models*, 1989; Huber, 1967; White,
    1982). Declare the likelihood of a loss of your own with ``losses.family``. Raises ValueError
    for arguments that ``glm`` refuses, and for weights that leave no degrees of freedom, such as
    those that sum to 1 (NaN under ``jit``). Not differentiable.

    >>> x = jnp.array([[0.0], [0.0], [1.0], [1.0]])
    >>> y = jnp.array([1.0, 3.0, 4.0, 4.0])
    >>> told = of_glm(jl.losses.poisson, Linear(jnp.log(jnp.array([2.0])), jnp.log(2.0)), x, y)
    >>> print(told.standard_error.b.round(4), told.deviance.round(4))  # 1 / √4
    0.5 1.0465
    """
    params, ended = parted(params)
    outputs = params.b.shape[0] if params.b.ndim else None
    batch, shape, _ = checks.examples(x, y, weight, target_of(loss), outputs=outputs)
    dtype = floating_dtype(batch.x)
    offset = checks.offset(offset, batch, shape)
    params = checks.parameters(params, "params", shape, batch.x)
    if dispersion is not None:
        dispersion = checks.number(dispersion, "dispersion", dtype)
    batch = with_target(batch, offset)
    told = jax.lax.stop_gradient(_of_glm(loss, bool(intercept), batch, params, ended, dispersion))
    freedom = told.degrees_of_freedom
    if weight is not None and checks.is_known(told) and not _spare(told).all():
        raise ValueError(
            f"weight sums to {jnp.sum(batch.weight):g}, and leaves {jnp.min(freedom):g} degrees of "
            "freedom; expected more. Weights count copies here: give relative weights or "
            "precisions a sum of n, as weight * len(weight) / weight.sum()."
        )
    return told


def _spare(told: GlmInference) -> Bool[Array, "*k"]:
    """Whether degrees of freedom are left, or none and φ is known: a saturated model."""
    freedom = told.degrees_of_freedom
    return (freedom > 0) | (freedom == 0) & jnp.isfinite(told.dispersion)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_glm(loss: Callable, intercept: bool, batch: Batch, params: Linear, ended, dispersion):
    def model(params, y, ended):
        return _of_model(loss, intercept, batch._replace(y=y), params, ended, dispersion)

    if params.b.ndim and is_separable(loss):
        ended = jnp.broadcast_to(ended, params.b.shape)
        return jax.vmap(model, in_axes=(0, 1, 0))(params, batch.y, ended)
    return model(params, batch.y, ended)


def _of_model(loss: Callable, intercept: bool, batch: Batch, params: Linear, ended, dispersion):
    family, of_outputs = family_of(loss), of_vector(loss, params.b.shape)
    standard = columns.standardised(batch, 0.0, intercept)
    problem = columns.penalised(standard, batch, 0.0, intercept, params.b.size).own
    units = standard.units
    theta = columns.scaled(columns.rows(params), units, intercept)
    outputs = outputs_of(problem, theta)
    count = jnp.asarray(len(batch.x), outputs.dtype)
    count = count if batch.weight is None else jnp.sum(batch.weight)

    slopes = jax.vmap(jax.grad(of_outputs))(outputs, problem.target)
    if family and family.information:
        bends = jax.vmap(lambda o: jnp.diag(family.information(o)))(outputs)
    else:
        bends = jax.vmap(jax.hessian(of_outputs))(outputs, problem.target)
    matrix = hessian(problem, problem.share[:, None, None] * bends)
    inverse = factor.from_eigenvalues(matrix)
    freedom = count - inverse.rank

    phi = family.dispersion if dispersion is None and family else dispersion
    if phi is None and params.b.size == 1:
        pearson = jnp.square(slopes[:, 0]) / jnp.where(bends > 0, bends, jnp.nan)[:, 0, 0]
        phi = count * jnp.sum(jnp.where(problem.share > 0, problem.share * pearson, 0))
        phi = phi / jnp.where(freedom > 0, freedom, jnp.nan)
    phi = jnp.asarray(1.0 if phi is None else phi, outputs.dtype)

    directions = inverse.vectors.T.reshape(-1, *problem.penalty.shape)  # rows v: Σ v vᵀ = H⁻¹
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
    if problem.target.offset is not None:
        size = size + jnp.max(jnp.abs(problem.target.offset))
    size = size + jnp.max(jnp.abs(outputs))
    gradient = matmul(problem.share, scores)
    sound = ended & at_optimum(gradient, meat, directions, problem, count, size)
    sound = sound & (inverse.rank > 0) & (inverse.rank >= _rank(problem, bends)) & (freedom >= 0)
    sound = jnp.broadcast_to(sound, params.b.shape)
    plain = nan_unless(sound, errors(phi * jnp.eye(len(meat), dtype=meat.dtype)))
    robust = nan_unless(sound, errors(meat))
    likelihood = _likelihood(family, problem, count, jax.vmap(of_outputs)(outputs, problem.target))
    return GlmInference(plain, robust, phi, freedom, *likelihood)


def _likelihood(family: families.Family | None, problem: Problem, count, each):
    """The deviance and the log-likelihood, from the losses of the examples."""
    if family is None:
        return jnp.full_like(count, jnp.nan), jnp.full_like(count, jnp.nan)
    y = problem.target.y
    deviance = 2 * count * jnp.sum(problem.share * (each - jax.vmap(family.least)(y)))
    phi = deviance / count if family.dispersion is None else family.dispersion
    density = jax.vmap(lambda y: family.log_density(y, phi))(y)
    return deviance, count * jnp.sum(problem.share * density) - deviance / (2 * phi)


def _rank(problem: Problem, bends) -> Int[Array, ""]:
    """The rank that H would have if all examples had the mean curvature.

    H has a lower rank where curvatures have vanished because the optimum is at infinity.
    """
    mean = jnp.tensordot(problem.share, bends, axes=1)
    scale, _ = unit_scale(jnp.diagonal(mean))
    values = jnp.linalg.eigvalsh(mean / scale[:, None] / scale[None])
    of_outputs = jnp.sum(values > jnp.sqrt(jnp.finfo(mean.dtype).eps))  # k, or k − 1 for softmax
    one = problem._replace(penalty=problem.penalty[:1])
    gram = hessian(one, problem.share[:, None, None])
    return of_outputs * factor.from_eigenvalues(gram).rank

"""What a fit tells beyond its coefficients: standard errors, R², leverages, likelihoods."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear import _checks, columns, curvature, exact, factor, gram, losses, residual
from jaxlinear.factor import matmul, power_of_two
from jaxlinear.objective import of_vector, readable, with_target
from jaxlinear.types import Batch, Linear


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


def of_least_squares(params: Linear, x, y, *, weight=None, intercept: bool = True) -> Inference:
    """The inference of ``least_squares(x, y, …)``, whose ``params`` these are.

    Var(w) = σ² (Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ)⁻¹, with independent errors of variance σ² / w_i.
    The residuals are summed in twice the precision. Where x is rank deficient, coefficients are
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
    params = Linear(*(_checks.numeric(leaf, "params") for leaf in params))
    if params.w.shape != (*outputs, d):
        raise ValueError(f"params have w {params.w.shape}; expected {(*outputs, d)}.")
    return jax.lax.stop_gradient(_of(batch, params, intercept=bool(intercept)))


@functools.partial(jax.jit, static_argnames="intercept")
def _of(batch: Batch, params: Linear, *, intercept: bool) -> Inference:
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
    squares = residual.normal(sides, rows, zero, made.mean_x).squares.reshape(made.yy.shape)
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
    params: Linear,
    x,
    y,
    *,
    offset=None,
    weight=None,
    intercept: bool = True,
    dispersion=None,
) -> GlmInference:
    """The inference of ``glm(loss, x, y, …)`` without a penalty, whose ``params`` these are.

    H is the expected second derivative where the family of the loss has one of its own (gamma,
    with its log link), else the observed one; with a canonical link they are the same. Weights
    count copies. φ is ``dispersion``, or 1 for labels and counts, or else Pearson's
    Σ w g² / H / (Σ w − p) in the outputs; it is NaN where an example has no curvature, as with
    ``huber`` (use ``robust_error``). The log-likelihood has φ = deviance / Σ w where φ is not
    known. Errors of softmax regression are those of coefficients that sum to 0 over the classes.
    What the data leave undetermined is left out.

    R's ``summary(glm)``, ``logLik`` and ``vcovHC(type = "HC0")``; statsmodels' ``GLM`` with
    ``freq_weights`` (McCullagh and Nelder, *Generalized Linear Models*, 1989; Huber, 1967; White,
    1982). A loss of your own gets its likelihood by ``losses.family``. Raises ValueError for what
    ``glm`` refuses. Not differentiable.

    >>> x = jnp.array([[0.0], [0.0], [1.0], [1.0]])
    >>> y = jnp.array([1.0, 3.0, 4.0, 4.0])
    >>> told = of_glm(losses.poisson, Linear(jnp.log(jnp.array([2.0])), jnp.log(2.0)), x, y)
    >>> print(told.standard_error.b.round(4), told.deviance.round(4))  # 1 / √4
    0.5 1.0465
    """
    outputs = params.b.shape[0] if params.b.ndim else None
    batch, shape, _ = _checks.examples(x, y, weight, losses.target_of(loss), outputs=outputs)
    dtype = gram.floating_dtype(batch.x)
    offset = _checks.offset(offset, batch, shape)
    params = _checks.parameters(params, "params", shape, batch.x)
    if dispersion is not None:
        dispersion = _checks.number(dispersion, "dispersion", dtype)
    batch = with_target(batch, offset)
    return jax.lax.stop_gradient(_of_glm(loss, bool(intercept), batch, params, dispersion))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_glm(loss: Callable, intercept: bool, batch: Batch, params: Linear, dispersion):
    def model(params, y):
        return _of_model(loss, intercept, batch._replace(y=y), params, dispersion)

    if params.b.ndim and losses.is_separable(loss):
        return jax.vmap(model, in_axes=(0, 1))(params, batch.y)
    return model(params, batch.y)


def _of_model(loss: Callable, intercept: bool, batch: Batch, params: Linear, dispersion):
    family, of_outputs = losses.family_of(loss), of_vector(loss, params.b.shape)
    problem, units, _ = columns.standardised(batch, 0.0, intercept, params.b.size)
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
        phi = count / freedom * jnp.sum(jnp.where(problem.share > 0, problem.share * pearson, 0))
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

    plain = errors(phi * jnp.eye(len(meat), dtype=meat.dtype))
    likelihood = _likelihood(family, problem, count, jax.vmap(of_outputs)(outputs, problem.y))
    return GlmInference(plain, errors(meat), phi, freedom, *likelihood)


def _likelihood(family: losses.Family | None, problem: curvature.Problem, count, each):
    """The deviance and the log-likelihood, from the losses of the examples."""
    if family is None:
        return jnp.full_like(count, jnp.nan), jnp.full_like(count, jnp.nan)
    y = problem.y[0]
    deviance = 2 * count * jnp.sum(problem.share * (each - jax.vmap(family.least)(y)))
    phi = deviance / count if family.dispersion is None else family.dispersion
    density = jax.vmap(lambda y: family.log_density(y, phi))(y)
    return deviance, count * jnp.sum(problem.share * density) - deviance / (2 * phi)

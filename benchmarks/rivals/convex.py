"""Rivals of the convex fits: scikit-learn, cyanure and optax, as their users would write it.

Each gives ``Linear``, of one fit or stacked. l2 multiplies ½ ‖w‖² beside the mean loss, as in
jaxlinear and cyanure; scikit-learn wants C = 1 / (l2 n).
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxlinear as jl
from benchmarks.float64 import stack


def sklearn_logistic(x, y, l2, solver, tol) -> jl.Linear:
    """Of two classes; softmax regression of more."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped early is seen in its objective
        model = LogisticRegression(C=1 / (l2 * len(x)), solver=solver, tol=tol, max_iter=10_000)
        model.fit(x, y)
    if len(model.classes_) == 2:
        return jl.Linear(model.coef_[0], model.intercept_[0])
    return jl.Linear(model.coef_, model.intercept_)


def sklearn_labels(x, y, l2, solver, tol) -> jl.Linear:
    """One fit for every column of y."""
    return stack(sklearn_logistic(x, label, l2, solver, tol) for label in y.T)


def sklearn_problems(x, y, l2, solver, tol) -> jl.Linear:
    """One fit for every x (p, n, d) and y (p, n)."""
    return stack(sklearn_logistic(*problem, l2, solver, tol) for problem in zip(x, y, strict=True))


def optax_lbfgs(loss, data: jl.Batch, l2, zero: jl.Linear, tol):
    """A loop in Python over a compiled update until the gradient is small, as with jaxopt."""
    solver = optax.lbfgs()

    @jax.jit
    def update(params, state, data):
        def objective(params):
            return jl.mean_loss(loss)(params, data, l2)

        value, slope = optax.value_and_grad_from_state(objective)(params, state=state)
        change, state = solver.update(
            slope, state, params, value=value, grad=slope, value_fn=objective
        )
        return optax.apply_updates(params, change), state, optax.tree.norm(slope)

    def run():
        params, state, norm, steps = zero, solver.init(zero), np.inf, 0
        while norm > tol and steps < 500:
            params, state, norm = update(params, state, data)
            steps += 1
        return params

    return run


def optax_lbfgs_compiled(loss, data: jl.Batch, l2, zero: jl.Linear, most: int = 1_000):
    """The loop itself compiled, a hundred steps a call: a fit of ``tol``, for small problems too.

    Between the calls Python can stop it, which a program of all the steps would not allow.
    """
    solver, steps_at_once = optax.lbfgs(), 100

    @jax.jit
    def some_steps(params, state, data, tol):
        def objective(params):
            return jl.mean_loss(loss)(params, data, l2)

        def goes_on(carry):
            _, _, norm, steps = carry
            return (norm > tol) & (steps < steps_at_once)

        def step(carry):
            params, state, _, steps = carry
            value, slope = optax.value_and_grad_from_state(objective)(params, state=state)
            change, state = solver.update(
                slope, state, params, value=value, grad=slope, value_fn=objective
            )
            return optax.apply_updates(params, change), state, optax.tree.norm(slope), steps + 1

        start = params, state, jnp.array(jnp.inf, params.w.dtype), 0
        return jax.lax.while_loop(goes_on, step, start)[:3]

    begin = jax.jit(solver.init)

    def fit(tol):
        params, state = zero, begin(zero)
        for _ in range(most // steps_at_once):
            params, state, norm = some_steps(params, state, data, tol)
            if not norm > tol:
                break
        return params

    return fit


def sklearn_glm(x, y, l2, family, solver, tol) -> jl.Linear:
    """Poisson or gamma regression; alpha is our l2, as the deviance is halved there."""
    from sklearn import linear_model

    make = {"poisson": "PoissonRegressor", "gamma": "GammaRegressor"}[family]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(linear_model, make)(alpha=l2, solver=solver, tol=tol, max_iter=10_000)
        model.fit(x, y)
    return jl.Linear(model.coef_, np.asarray(model.intercept_))


def glum_glm(x, y, l2, family, tol) -> jl.Linear:
    from glum import GeneralizedLinearRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GeneralizedLinearRegressor(
            family=family, link="log", alpha=l2, l1_ratio=0, gradient_tol=tol, max_iter=1_000
        ).fit(x, y)
    return jl.Linear(model.coef_, np.asarray(model.intercept_))


def cyanure_softmax(x, y, l2, tol) -> jl.Linear:
    from cyanure.estimators import Classifier

    model = Classifier(
        loss="multiclass-logistic", penalty="l2", lambda_1=l2, fit_intercept=True, tol=tol,
        max_iter=500, verbose=False,
    )  # fmt: skip
    model.fit(x, y)
    w = np.asarray(model.coef_)
    return jl.Linear(w if w.shape[1] == x.shape[1] else w.T, np.ravel(model.intercept_))

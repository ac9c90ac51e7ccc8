"""The optimum of a smooth convex objective, with a certificate, as one compiled program.

Σ_i w_i loss(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² is met by Newton's method with a factor of its
Hessian where that is small; else by L-BFGS, preconditioned with what can be had of the Hessian (see
``preconditioners``), at two passes over x for a step. That is quick, but knows only what it saw:
where no bound shows the end, the last step is one of Newton's, by conjugate gradients, which tells
what is left to gain. Fits that begin near their end take such steps alone. All derivatives of the
loss are autodiff's.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxlinear.convex import iteration
from jaxlinear.convex.iteration import grown
from jaxlinear.convex.problem import Problem
from jaxlinear.convex.state import Method, State, is_unfinished, started
from jaxlinear.convex.turns import minimise_many


def minimise(method: Method, problem: Problem, theta, prepared) -> tuple[State, Any]:
    """From θ until a step promises less than ``tol`` of the objective, or makes nothing less.

    Also returns what the form of the curvature was ``prepared`` with, which may have grown. Under
    ``vmap`` a model that is done makes room for another, so that the slowest do not hold up the
    rest.
    """

    @jax.custom_batching.custom_vmap
    def solve(problem, tol, theta, prepared):
        return _run(method._replace(tol=tol), prepared, problem, theta)

    solve.def_vmap(functools.partial(minimise_many, method))
    return solve(problem, method.tol, theta, prepared)


def _run(method: Method, prepared, problem: Problem, theta) -> tuple[State, Any]:
    """Steps until the end; a form that grows does so in between, where the end is not near."""

    def stage(carry):
        clock, state, prepared, most = carry

        def unfinished(carry):
            clock, state = carry
            return is_unfinished(method, state) & (clock < most)

        def advance(carry):
            clock, state = carry
            return clock + 1, iteration.advance(method, prepared, problem, state, clock, True)

        clock, state = jax.lax.while_loop(unfinished, advance, (clock, state))
        prepared, state = grown(method, prepared, problem, state)
        return clock, state, prepared, jnp.int32(method.most)

    state = started(method, prepared, problem, theta)
    most = method.form.steps or method.most
    start = jnp.int32(0), state, prepared, jnp.int32(most)
    _, state, prepared, _ = jax.lax.while_loop(
        lambda carry: is_unfinished(method, carry[1]), stage, start
    )
    return state, prepared

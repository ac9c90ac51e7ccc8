"""Many models side by side: those that are done make room for others."""

import jax
import jax.numpy as jnp

from jaxlinear.convex import lbfgs
from jaxlinear.convex.iteration import advance, grown
from jaxlinear.convex.problem import Problem
from jaxlinear.convex.state import Method, State, is_last, is_unfinished, started

_BLOCK = 32  # models that take steps together, at least


def minimise_many(method: Method, models: int, batched, problem: Problem, tol, theta, prepared):
    """``minimise`` for the leaves with a leading axis, those that are ``batched``.

    A block of models takes steps until some of them are done; then others take their places. The
    steps that end the iteration take products with H, which all models wait for: they are taken
    when no model needs another step.
    """
    of_problem, of_tol, of_theta, of_prepared = batched
    if not of_theta:
        theta = jnp.broadcast_to(theta, (models, *theta.shape))
    of_given = of_problem, of_tol, of_prepared
    axes = jax.tree.map(_axis, of_given)

    def start(given, theta):
        problem, tol, prepared = given
        return started(method._replace(tol=tol), prepared, problem, theta)

    state = jax.vmap(start, (axes, 0))((problem, tol, prepared), theta)
    if method.form.grow is None:
        state = _take_turns(method, of_given, (problem, tol, prepared), state)
        return (state, prepared), (jax.tree.map(lambda _: True, state), of_prepared)

    def stage(carry):
        state, prepared, most = carry
        given = problem, tol, prepared
        state = _take_turns(method._replace(most=most), of_given, given, state)
        return *jax.vmap(grow, (axes, 0))(given, state), jnp.int32(method.most)

    def grow(given, state):
        problem, tol, prepared = given
        prepared, state = grown(method._replace(tol=tol), prepared, problem, state)
        return state, prepared

    def unfinished(carry):
        return jnp.any(is_unfinished(method._replace(tol=tol), carry[0]))

    prepared = jax.tree.map(
        lambda leaf, own: leaf if own else jnp.stack([leaf] * models), prepared, of_prepared
    )
    of_prepared = jax.tree.map(lambda _: True, prepared)
    of_given = of_problem, of_tol, of_prepared
    axes = jax.tree.map(_axis, of_given)
    begin = state, prepared, jnp.int32(min(method.form.steps, method.most))
    state, prepared, _ = jax.lax.while_loop(unfinished, stage, begin)
    return (state, prepared), (jax.tree.map(lambda _: True, state), of_prepared)


def _take_turns(method: Method, of_given, given, state: State) -> State:
    """Steps of models side by side, until all are done.

    What is ``of_given``, problems, tolerances and what was prepared, every model has of its own.
    """
    tol = given[1]
    form = method.form
    axes = jax.tree.map(_axis, of_given)
    models = len(state.number)
    # All models take about as many steps of Newton's; of L-BFGS one takes 10, another 50.
    parts, share = (32, 0.75) if form.memory else (8, 0.5)
    size = max(models // parts, min(models, _BLOCK))

    def step(given, state: State, clock, ending):
        problem, tol, prepared = given
        return advance(method._replace(tol=tol), prepared, problem, state, clock, ending)

    steps = jax.vmap(step, (axes, 0, None, None))

    def needs_step(state: State, tol, ending):
        waits = is_last(form, state, tol) & jnp.logical_not(ending) & (form.memory > 0)
        return is_unfinished(method._replace(tol=tol), state) & ~waits

    def beside(carry):
        """A step of all models, for which there is room."""
        clock, state = carry
        ending = ~jnp.any(needs_step(state, tol, False))
        return clock + 1, steps(given, state, clock, ending)

    def run(state: State) -> State:
        """Steps of a block: models that need some, and then others, which stay."""
        ending = ~jnp.any(needs_step(state, tol, False))
        rows = jax.lax.top_k(needs_step(state, tol, ending).astype(jnp.int32), size)[1]
        some = jax.tree.map(lambda leaf, own: leaf[rows] if own else leaf, given, of_given)
        part = jax.tree.map(lambda leaf: leaf[rows], state)

        def advance(carry):
            clock, part = carry
            return clock + 1, steps(some, part, clock, ending)

        def busy(carry):
            return jnp.sum(needs_step(carry[1], some[1], ending)) > enough

        enough = jnp.sum(needs_step(part, some[1], ending)) * share
        clock, part = jax.lax.while_loop(busy, advance, (jnp.int32(0), part))
        part = part._replace(steps=lbfgs.newest_last(part.steps, clock))
        return jax.tree.map(lambda all, new: all.at[rows].set(new), state, part)

    def unfinished(state: State):
        return jnp.any(needs_step(state, tol, True))

    if size < models:
        return jax.lax.while_loop(unfinished, run, state)
    start = jnp.int32(0), state
    clock, state = jax.lax.while_loop(lambda carry: unfinished(carry[1]), beside, start)
    return state._replace(steps=lbfgs.newest_last(state.steps, clock))


def _axis(of_model: bool) -> int | None:
    return 0 if of_model else None

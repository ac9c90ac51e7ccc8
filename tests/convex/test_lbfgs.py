"""Steps and their products stand for the curvature as the textbook's recursion has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear.convex import conjugate_gradients, costs, lbfgs
from jaxlinear.convex.preconditioners import choice
from jaxlinear.convex.preconditioners.cholesky import cholesky
from jaxlinear.convex.preconditioners.delayed import gram_after
from jaxlinear.convex.preconditioners.diagonal import Sizes, diagonal
from jaxlinear.convex.preconditioners.eigenbasis import eigenbasis
from jaxlinear.convex.preconditioners.mean_curvature import mean_curvature
from jaxlinear.convex.problem import Problem
from jaxlinear.model.losses import squared_error


def recursion(steps, g):
    """H⁻¹ g from the pairs (s, y), oldest first, and P = 1 (Nocedal and Wright, algorithm 7.4)."""
    shares = []
    for s, y in reversed(steps):
        shares.append(np.vdot(s, g) / np.vdot(s, y))
        g = g - shares[-1] * y
    for (s, y), share in zip(steps, reversed(shares), strict=True):
        g = g + (share - np.vdot(y, g) / np.vdot(s, y)) * s
    return g


def quadratic(seed=0, size=12):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    return rng, root @ root.T + np.eye(size)


@pytest.mark.parametrize("number", [0, 1, 3, 5, 8, 13])
def test_products_with_the_steps_are_the_recursion(number, x64):
    rng, h = quadratic()
    told, kept = lbfgs.none(5, jnp.zeros((3, 4))), []
    for clock in range(number):
        s = jnp.asarray(rng.normal(size=(3, 4)))
        y = (h @ s.ravel()).reshape(3, 4)
        told = lbfgs.with_step(told, s, y, True, clock, None)
        kept = [*kept, (s, y)][-5:]
    g = rng.normal(size=(3, 4))
    found = lbfgs.inverse_hessian(told, lambda g: g, jnp.asarray(g))
    np.testing.assert_allclose(found, recursion(kept, g), rtol=1e-9)


def test_a_model_that_waited_forgets_what_it_writes_over(x64):
    """Its clock goes on, so that the oldest step is not where the next is written."""
    rng, h = quadratic()
    told, kept = lbfgs.none(4, jnp.zeros((3, 4))), {}
    for clock in (4, 5, 6, 7, 10, 11, 13, 14, 19):
        for taken in (False, True):
            s = jnp.asarray(rng.normal(size=(3, 4)))
            y = (h @ s.ravel()).reshape(3, 4)
            told = lbfgs.with_step(told, s, y, taken, clock - (not taken), None)
        kept.pop(clock % 4, None)
        kept[clock % 4] = s, y  # in the order of writing
        g = rng.normal(size=(3, 4))
        found = lbfgs.inverse_hessian(told, lambda g: g, jnp.asarray(g))
        np.testing.assert_allclose(found, recursion(list(kept.values()), g), rtol=1e-9)


def test_steps_of_many_models_call_no_other_library():
    """Triangular solves of 32 models at once, in the steps of 200 × (1,000 × 100), never returned:
    both threads waited for each other (jaxlib 0.10.1)."""

    def step(g):
        told = lbfgs.with_step(lbfgs.none(10, g), g, g, True, 0, lambda g: g)
        return lbfgs.inverse_hessian(told, lambda g: g, g)

    program = jax.jit(jax.vmap(step)).lower(jnp.ones((32, 1, 100))).compile().as_text()
    assert "custom-call" not in program


def test_rings_that_are_turned_say_the_same(x64):
    rng, h = quadratic()
    told = lbfgs.none(4, jnp.zeros((3, 4)))
    for clock in range(6):
        s = jnp.asarray(rng.normal(size=(3, 4)))
        told = lbfgs.with_step(told, s, (h @ s.ravel()).reshape(3, 4), True, clock, None)
    g = jnp.asarray(rng.normal(size=(3, 4)))
    expected = lbfgs.inverse_hessian(told, lambda g: g, g)
    many = lbfgs.Steps(*(leaf[None] for leaf in told))
    turned = lbfgs.Steps(*(leaf[0] for leaf in lbfgs.newest_last(many, 6)))
    np.testing.assert_allclose(lbfgs.inverse_hessian(turned, lambda g: g, g), expected)


@pytest.mark.parametrize(("y", "taken"), [(-1.0, True), (0.0, True), (1.0, False)])
def test_a_step_without_curvature_or_not_taken_says_nothing(y, taken):
    told = lbfgs.none(3, jnp.zeros((1, 2)))
    s = jnp.ones((1, 2))
    told = lbfgs.with_step(told, s, y * s, taken, 0, lambda g: g)
    g = jnp.array([[1.0, -2.0]])
    np.testing.assert_array_equal(lbfgs.inverse_hessian(told, lambda g: g, g), g)


def test_the_size_of_a_preconditioner_is_learned():
    told = lbfgs.none(3, jnp.zeros((1, 2)))
    told = lbfgs.with_step(told, jnp.ones((1, 2)), 4 * jnp.ones((1, 2)), True, 0, lambda g: g)
    assert told.size == pytest.approx(0.25)


def test_conjugate_gradients_solve_in_as_many_products_as_there_are_unknowns(x64):
    rng, h = quadratic()
    side = rng.normal(size=12)

    def solved(most):
        start = jnp.asarray(side)
        return conjugate_gradients.solve(lambda v: h @ v, lambda v: v, start, start, 1e-28, most)

    np.testing.assert_allclose(solved(30), np.linalg.solve(h, side), rtol=1e-8)
    assert np.linalg.norm(h @ solved(1) - side) > 0.01


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        ((569, 1, 31, 1), "exact"),
        ((20_000, 1, 51, 1), "gram"),
        ((300_000, 1, 21, 1), "exact"),
        ((1_797, 10, 65, 1), "mean"),
        ((60_000, 10, 785, 1), "sampled"),
        ((10_000, 1, 769, 1), "gram"),
        ((5_000, 100, 513, 1), "gram"),
        ((2_000, 1, 4_097, 1), "gram"),
        ((5_000, 1, 20_001, 1), "diagonal"),
        ((10_000, 1, 769, 1_000), "shared"),
        ((2_000, 1, 4_097, 30), "diagonal"),
    ],
)
def test_the_form_is_chosen_by_what_it_costs(shape, form):
    chosen = choice.choose(*shape)
    names = {
        cholesky: "exact",
        mean_curvature: "mean",
        eigenbasis: "shared",
        diagonal: "diagonal",
    }
    name = names.get(chosen, "gram" if chosen.grow else "sampled")
    assert name == form
    assert choice.choose(*shape) == chosen, "a program is compiled for each"


def test_costs_grow_with_the_work():
    for cost, sizes in [
        (costs.step, [(10, 10, 1), (1_000, 10, 1), (1_000, 1_000, 1), (1_000, 1_000, 100)]),
        (costs.gram, [(10, 10), (1_000, 10), (1_000, 1_000)]),
        (costs.cholesky, [(10,), (1_000,)]),
        (costs.eigh, [(10,), (1_000,)]),
    ]:
        seconds = [cost(*size) for size in sizes]
        assert seconds == sorted(set(seconds))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_gram_matrix_of_rows_says_what_that_of_columns_says(outputs, x64):
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(12))
    problem = Problem(
        jnp.asarray(rng.normal(size=(12, 40))),
        jnp.asarray(rng.normal(size=(12, outputs))),
        jnp.asarray(share),
        jnp.asarray(rng.uniform(0.1, 1, size=40) * np.ones((outputs, 1))),
    )
    g = jnp.asarray(rng.normal(size=(outputs, 40)))
    made = [
        form.grow(problem, squared_error, problem.target)
        for form in (gram_after(9), gram_after(9, by_rows=True))
    ]
    built = diagonal.build(None, problem, squared_error, problem.target)
    built = Sizes(jnp.ones((outputs, 1)), built)
    apply = gram_after(9).apply
    of_columns, of_rows = (apply(problem, each, built, g) for each in made)
    np.testing.assert_allclose(of_rows, of_columns, rtol=1e-9)
    x = np.asarray(problem.x)
    hessian = (share[:, None] * x).T @ x + np.diag(problem.penalty[0])
    np.testing.assert_allclose(of_rows, np.linalg.solve(hessian, g.T).T, rtol=1e-9)

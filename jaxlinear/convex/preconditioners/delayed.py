"""The diagonal at first, and the Gram matrix once the fit has taken long without."""

import functools

import jax
import jax.numpy as jnp

from jaxlinear.convex.preconditioners import mean_curvature
from jaxlinear.convex.preconditioners.diagonal import Sizes, sizes
from jaxlinear.convex.preconditioners.form import PRODUCTS, Curvature
from jaxlinear.convex.preconditioners.mean_curvature import Mean, by_columns
from jaxlinear.convex.problem import Problem
from jaxlinear.linalg.damped import Root


def _no_gram(by_rows: bool, problem: Problem) -> Mean:
    (k, p), dtype = problem.penalty.shape, problem.penalty.dtype
    size = len(problem.x) if by_rows else p
    matrix, zero = jnp.zeros((size, size), dtype), jnp.zeros((), dtype)
    found = matrix if by_rows or k > 1 else Root(matrix, jnp.zeros(size, dtype))
    inverse = jnp.zeros(p, dtype) if by_rows else None
    return Mean(found, inverse, zero, zero, jnp.array(False))


def _apply_mean(problem: Problem, prepared: Mean, built: Sizes, g):
    def whole(g):
        # What an output's own curvature makes of it.
        part = prepared.curvature + prepared.penalty
        return (
            mean_curvature.whole(problem, prepared, g) * part / (built.curvature + prepared.penalty)
        )

    return jax.lax.cond(prepared.made, whole, lambda g: g * built.diagonal, g)


@functools.cache
def gram_after(steps: int, *, by_rows: bool = False) -> Curvature:
    """The form that makes a Gram matrix, of columns or of rows, after so many steps without."""
    return Curvature(
        functools.partial(_no_gram, by_rows),
        sizes,
        _apply_mean,
        sizes,
        memory=10,
        products=PRODUCTS,
        rescaled=True,
        grow=mean_curvature.by_rows if by_rows else by_columns,
        steps=steps,
    )

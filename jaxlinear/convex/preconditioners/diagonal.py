"""The diagonal of the Hessian: the mean curvature of every output, and no matrix."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex.preconditioners.form import PRODUCTS, Curvature
from jaxlinear.convex.problem import Problem, mean_of_curvatures


def inverse_diagonal(prepared, problem: Problem, loss: Callable, outputs):
    """The inverse of the diagonal of H, where every column has variance 1."""
    return sizes(prepared, problem, loss, outputs).diagonal


class Sizes(NamedTuple):
    """The mean curvature of every output, and the inverse of the diagonal of H."""

    curvature: Float[Array, "k 1"]
    diagonal: Float[Array, "k p"]


def sizes(prepared, problem: Problem, loss: Callable, outputs) -> Sizes:
    """The mean curvature of every output, and the diagonal that follows."""
    size = mean_of_curvatures(loss, problem, outputs)[:, None]
    tiny = jnp.finfo(size.dtype).tiny
    return Sizes(size, 1 / jnp.maximum(size + problem.penalty, tiny))


diagonal = Curvature(
    lambda problem: None,
    inverse_diagonal,
    lambda problem, prepared, inverse, g: g * inverse,
    inverse_diagonal,
    memory=10,
    products=PRODUCTS,
    rescaled=True,
)

"""The inverse Hessian at a fit that is near: for folds and bootstraps."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.convex.preconditioners.form import PRODUCTS, Curvature
from jaxlinear.convex.problem import Problem, hessian, hessians
from jaxlinear.linalg.damped import damped, root_inverse
from jaxlinear.linalg.products import matmul


def inverse_there(loss: Callable, problem: Problem, outputs) -> Float[Array, "kp kp"]:
    """H⁻¹ at these outputs, of the examples whose curvature there is a number."""
    h = hessians(loss, problem, outputs)
    h = jnp.where(jnp.isfinite(h), h, 0)
    # One after another under vmap, which would have a copy of all x for each.
    return root_inverse(damped(jax.custom_batching.sequential_vmap(hessian)(problem, h)))


def _nothing_more(inverse, problem: Problem, loss: Callable, outputs) -> tuple:
    return ()


frozen = Curvature(
    None,
    _nothing_more,
    lambda problem, inverse, built, g: matmul(inverse, g.reshape(-1)).reshape(g.shape),
    _nothing_more,
    products=PRODUCTS,
)

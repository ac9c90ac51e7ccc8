"""Derivatives of an optimum with respect to its data and penalties, by implicit differentiation.

Where ∇f(p, data) = 0 defines p, the implicit function theorem gives dp = −H⁻¹ d∇f, with H the
Hessian of f in p: one solve with the factor from the forward pass, in forward and reverse mode
and to any order (Griewank and Walther, *Evaluating Derivatives*, 2008, ch. 15; Blondel et al.,
"Efficient and modular implicit differentiation", 2022).
"""

import functools
from collections.abc import Callable

import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def optimum(gradient: Callable, solve: Callable, params: PyTree, factor: PyTree, data: PyTree):
    """``params`` unchanged, with the derivatives of the root of ``gradient(params, data)``.

    ``solve(factor, g)`` applies the inverse of the symmetric Jacobian of ``gradient`` in params.
    Both functions must depend on their arguments alone. Derivatives of ``params`` and ``factor``
    themselves, by the computation that found them, are ignored.
    """
    return params


@optimum.defjvp
def _optimum_jvp(gradient, solve, primals, tangents):
    params, factor, data = primals
    params, factor = jax.lax.stop_gradient((params, factor))
    params = optimum(gradient, solve, params, factor, data)  # differentiable again, in data
    _, change = jax.jvp(lambda data: gradient(params, data), (data,), (tangents[2],))

    # One vector: custom_linear_solve does not transpose where only some leaves are linear.
    change, unravel = ravel_pytree(change)

    def hessian(direction):
        _, slope = jax.jvp(lambda p: gradient(p, data), (params,), (unravel(direction),))
        return ravel_pytree(slope)[0]

    def inverse(_, g):
        return ravel_pytree(solve(factor, unravel(g)))[0]

    step = jax.lax.custom_linear_solve(hessian, change, inverse, symmetric=True)
    return params, unravel(-step)

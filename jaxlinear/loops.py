"""Loops and branches under ``vmap`` that run only where they are needed.

``jax.vmap`` turns a program for one model into one for many. Three things cost nothing for one
model, but do for many, and each has a remedy here or in its own module:

- A branch. ``lax.cond`` under ``vmap`` becomes a ``select``: both branches are computed for every
  model. ``when`` is a ``while_loop`` of at most one step, which ``vmap`` runs only while a model
  needs it. Without it every least-squares fit pays for the QR factorisation that one in a thousand
  needs. To test it: count the QR operations that are executed, not those in the program.
- A loop. Under ``vmap`` a ``while_loop`` goes on until the last model is done, and all others wait.
  ``convex.turns`` lets models take steps in blocks, and replaces models that are done by others.
  Without it, 1,000 fits of which one takes 300 steps take 300 steps each. To test it: the same
  fits in another order and in blocks of three have to agree to the last digit.
- Arrays that all models share. Under ``vmap`` whatever depends on one batched argument is batched:
  folds that share x and differ in weights would have a standardised copy of x each.
  ``convex.columns`` has a rule of its own (``custom_vmap``), by which columns are standardised
  once, by the mean of the weights. Without it memory grows as the number of models times the size
  of x. To test it: look at the shapes of the results, and compare each model with its fit alone.

``kept_inside`` and ``stored`` keep the compiler from undoing such work; ``with_float64`` traces a
function with float64 enabled, whatever the setting of the caller.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def when(needed, function, operand, otherwise):
    """``function(operand)`` where ``needed``, else ``otherwise``.

    Under ``vmap`` a ``cond`` always computes both branches; a loop of at most one step runs only
    if a member of the batch needs it.
    """

    def once(carry):
        return jnp.array(False), function(kept_inside(operand, carry[0]))

    return jax.lax.while_loop(lambda carry: carry[0], once, (needed, otherwise))[1]


def kept_inside(operand, changing):
    """``operand``, for use in a loop whose steps change the value ``changing``.

    The compiler moves computations that do not depend on the step out of a loop, and so always
    executes them, even where the loop takes no step.
    """
    return jax.lax.optimization_barrier((operand, changing))[0]


def stored(function, *operands):
    """The array ``function(*operands)``, written to memory.

    The compiler would fuse its computation into a matrix-vector product that uses it, which then
    takes twenty times as long. It does not fuse across a ``cond`` whose condition it cannot know.
    """
    here = jax.lax.optimization_barrier(jnp.array(True))
    shape = jax.eval_shape(function, *operands)

    def otherwise(*_):
        return jnp.zeros(shape.shape, shape.dtype)

    return jax.lax.cond(here, function, otherwise, *operands)


def with_float64(function: Callable) -> Callable:
    """``function`` traced with float64 enabled, even where ``vmap`` traces it a second time."""

    @jax.custom_batching.custom_vmap
    def traced(*arguments):
        with jax.enable_x64(True):
            return function(*arguments)

    @traced.def_vmap
    def batched(size, in_batched, *arguments):
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)
        result = with_float64(jax.vmap(function, axes, axis_size=size))(*arguments)
        return result, jax.tree.map(lambda _: True, result)

    return traced

"""Loops and branches under ``vmap``: what is run only where it is needed.

``jax.vmap`` turns a program for one model into one for many. Three things that are free for one
model are not for many, and each has a trick here or in its own module:

- A branch. ``lax.cond`` under ``vmap`` becomes a ``select``: both branches are computed for every
  model. ``when`` is a ``while_loop`` of at most one step, which ``vmap`` runs only while a model
  needs it. Without it every least-squares fit pays for the QR factorisation that one in a thousand
  needs. To test it: count the QR operations that are executed, not those in the program.
- A loop. Under ``vmap`` a ``while_loop`` goes on until the last model is done, and all others wait.
  ``convex.turns`` lets models take steps in blocks, and a model that is done makes room for
  another. Without it, 1,000 fits of which one takes 300 steps take 300 steps each. To test it: the
  same fits in another order and in blocks of three are the same to the last digit.
- What all models share. Under ``vmap`` whatever depends on one batched argument is batched: folds
  that share x and differ in weights would have a standardised copy of x each.
  ``convex.columns`` has a rule of its own (``custom_vmap``), by which columns are standardised
  once, by the mean of the weights. Without it memory is models times x. To test it: the shapes of
  the results, and that a model is what it is alone.

``kept_inside`` and ``stored`` keep the compiler from undoing such work, ``with_float64`` traces a
function with float64 at hand, whatever the setting of the caller.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def when(needed, function, operand, otherwise):
    """``function(operand)`` where ``needed``, else ``otherwise``.

    A ``cond`` under ``vmap`` always pays for both branches; a loop of at most one step only
    where a member needs it.
    """

    def once(carry):
        return jnp.array(False), function(kept_inside(operand, carry[0]))

    return jax.lax.while_loop(lambda carry: carry[0], once, (needed, otherwise))[1]


def kept_inside(operand, changing):
    """``operand``, for use in a loop that changes ``changing``.

    The compiler takes what is made of constants alone out of a loop, and so always makes it,
    even where the loop takes no step.
    """
    return jax.lax.optimization_barrier((operand, changing))[0]


def stored(function, *operands):
    """The array ``function(*operands)``, in memory of its own.

    The compiler merges what makes an array with a product of a matrix and a vector, which then
    takes twenty times as long; not across the branches of a condition that it does not know.
    """
    here = jax.lax.optimization_barrier(jnp.array(True))
    shape = jax.eval_shape(function, *operands)

    def otherwise(*_):
        return jnp.zeros(shape.shape, shape.dtype)

    return jax.lax.cond(here, function, otherwise, *operands)


def with_float64(function: Callable) -> Callable:
    """``function`` traced with float64 at hand, even where ``vmap`` traces it a second time."""

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

"""Stacks of layers: (layers, n, d), one alone, or a dict of such where layers differ in width."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks


def per_layer(function: Callable, x, rows, **each):
    """``function(stack, **each)`` of x (layers, n, d), or of (n, d), without the axis of layers.

    ``rows`` (n,) are weights, by which NaN is absent. A dict x makes a dict, and what is in
    ``each`` may then be one too.
    """
    if isinstance(x, Mapping):
        done = {}
        for name, layer in x.items():
            own = {key: _of_name(value, name, key) for key, value in each.items()}
            try:
                done[name] = per_layer(function, layer, rows, **own)
            except (ValueError, TypeError) as problem:
                problem.add_note(f"It is the layer {name!r} of x.")
                raise
        return done
    x = checks.numeric(x, "x")
    if x.ndim not in (2, 3) or x.shape[-2] != len(rows):
        raise ValueError(
            f"x has shape {x.shape}; expected (layers, {len(rows)}, d), a row for each of y, or "
            f"({len(rows)}, d) for one layer."
        )
    blank = np.zeros(len(rows), np.float32)
    layers = [x] if x.ndim == 2 else list(x)
    layers = [checks.examples(layer, blank, rows, "real")[0].x for layer in layers]
    result = function(jnp.stack(layers), **each)
    return jax.tree.map(lambda leaf: leaf[0], result) if x.ndim == 2 else result


def _of_name(value, name, argument: str):
    if not isinstance(value, Mapping):
        return value
    if name not in value:
        raise ValueError(f"{argument} has {list(value)}; expected one for {name!r}, as x has.")
    return value[name]


def penalties_of(l2, layers: int, concepts: tuple[int, ...]):
    """l2 as (layers, *k): a number, one for every concept, or for every layer and concept."""
    l2 = checks.numeric(l2, "l2")
    if l2.shape not in ((), concepts, (layers, *concepts)):
        raise ValueError(
            f"l2 has shape {l2.shape}; expected a number, or {(layers, *concepts)}, one for every "
            "probe, as Probes.l2 has them."
        )
    l2 = jnp.asarray(checks.number(l2, "l2", jnp.result_type(float), shape=l2.shape))
    return jnp.broadcast_to(
        l2.reshape(*[1] * (1 + len(concepts) - l2.ndim), *l2.shape), (layers, *concepts)
    )


def ranks(order, present):
    """The place of every row (n, *k) among those that are present, by ``order`` (n,); n if none."""

    def of(present):
        sorted_rows = jnp.lexsort((order, ~present))
        counted = jnp.arange(len(order), dtype=jnp.int32)
        place = jnp.zeros_like(counted).at[sorted_rows].set(counted)
        return jnp.where(present, place, len(order))

    return of(present) if present.ndim == 1 else jax.vmap(of, 1, 1)(present)

"""Stacks of layers: (layers, n, d), one alone, or a dict of such where layers differ in width."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks


def per_layer(program: Callable, x, rows, shared: tuple, l2=None):
    """``program(x, *shared, l2)`` of every layer of x (layers, n, d), stacked; or of x (n, d).

    ``rows`` (n,) are weights, by which NaN is absent. A dict x makes a dict, and l2, which is left
    out where it is None, may then be one too.
    """
    if isinstance(x, Mapping):
        done = {}
        for name, layer in x.items():
            own = _of_name(l2, name) if isinstance(l2, Mapping) else l2
            try:
                done[name] = per_layer(program, layer, rows, shared, own)
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
    y = shared[0].y
    own = () if l2 is None else (list(_penalties(l2, len(layers), y.shape[1:])),)
    result = each_of(lambda x, *l2: program(x, *shared, *l2), (layers, *own), shared)
    return jax.tree.map(lambda leaf: leaf[0], result) if x.ndim == 2 else result


def each_of(program: Callable, parts: tuple, shared=()):
    """``program`` of each of the lists in parts, stacked; ``shared`` is what it closes over.

    A loop of calls: inside a loop that is compiled, XLA's CPU computes these fits up to 14 times
    as slowly. Where something is traced the loop is compiled, since unrolled it would grow.
    """
    if not checks.is_known(parts, shared):
        stacks = tuple(jnp.stack(list(part)) for part in parts)
        return jax.lax.map(lambda part: program(*part), stacks)
    return _stacked([program(*part) for part in zip(*parts, strict=True)])


@jax.jit
def _stacked(results: list):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)


def _of_name(l2: Mapping, name):
    if name not in l2:
        raise ValueError(f"l2 has {list(l2)}; expected one for {name!r}, as x has.")
    return l2[name]


def _penalties(l2, layers: int, concepts: tuple[int, ...]):
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

"""The compiled program of a run over many models, and how many of them fit into memory."""

import os
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PyTree


class Program(NamedTuple):
    """``call(data, hypers)`` are the stacked ``results``, of which these are shapes and dtypes.

    ``data`` are the arrays that the run closes over. As constants of megabytes inside the program
    they would make compilation take twice as long. ``jaxpr`` is what the run does, beside them.
    """

    call: Callable[[list, PyTree], PyTree]
    data: list[Array]
    results: PyTree[jax.ShapeDtypeStruct]
    jaxpr: Any


# The compiled programs of every ``run``, kept for as long as ``run`` itself exists.
_programs: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def of(run: Callable, hypers: PyTree) -> Program:
    """The program of ``run`` for hyper-parameters, stacked, of these shapes; traced once."""
    leaves, structure = jax.tree.flatten(hypers)
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    shape = structure, shapes, jax.config.jax_enable_x64
    programs = _programs.setdefault(run, {})
    if shape not in programs:
        from jax.extend.core import ClosedJaxpr, jaxpr_as_fun  # a fifth of the import of all

        traced, out = jax.make_jaxpr(jax.vmap(run), return_shape=True)(hypers)

        @jax.jit
        def call(data, hypers):
            whole = ClosedJaxpr(traced.jaxpr, data)
            flat = jaxpr_as_fun(whole)(*jax.tree.leaves(hypers))
            return jax.tree.unflatten(jax.tree.structure(out), flat)

        programs[shape] = Program(call, traced.consts, out, traced.jaxpr)
    return programs[shape]


def models_that_fit(run: Callable, hypers: PyTree, models: int) -> int:
    """How many models at once fit in memory beside the results of all models."""
    free, size = _free_memory(), models
    while size > 1:
        part = jax.eval_shape(
            lambda tree, size=size: jax.tree.map(lambda a: a[:size], tree), hypers
        )
        program = of(run, part)
        memory = program.call.lower(program.data, part).compile().memory_analysis()
        if memory is None or free is None:
            return size
        results = 2 * memory.output_size_in_bytes * models // size  # as chunks, and concatenated
        if memory.temp_size_in_bytes + results <= free:
            return size
        share = max(free - results, 0) / max(memory.temp_size_in_bytes, 1)
        size = max(1, min(size // 2, int(size * share)))
    return size


def _free_memory() -> int | None:
    """Bytes that may be used: 0.9 of the free memory of an accelerator, half of the host's."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(0.9 * (statistics["bytes_limit"] - statistics["bytes_in_use"]))
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):  # not on every system
        return None

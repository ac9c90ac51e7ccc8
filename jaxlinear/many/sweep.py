"""Many models in one call: a run over a pytree of hyper-parameters, a chunk of models at a time."""

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import Array, Num, PyTree

from jaxlinear import checks
from jaxlinear.many import kept, programs


def grid(**values: Any) -> dict[str, Any]:
    """Every combination of the values, as a dict of arrays (models, …); the last varies fastest.

    Values are lists of numbers, or anything stacked on a leading axis: keys, weights (models, n)
    from ``resample``, a ``Linear`` of initial parameters. scikit-learn's ``ParameterGrid``.

    >>> print(grid(lr=[0.1, 1.0], l2=[0, 1, 2]))
    {'lr': array([0.1, 0.1, 0.1, 1. , 1. , 1. ]), 'l2': array([0, 1, 2, 0, 1, 2])}
    """
    if not values:
        raise ValueError("grid got no values; expected names, as in grid(lr=[0.1, 1.0]).")
    stacks = {
        name: np.asarray(value)
        if isinstance(value, list | tuple | range) and not hasattr(value, "_fields")
        else _read(value, name)
        for name, value in values.items()
    }
    lengths = [_models(stack, name) for name, stack in stacks.items()]
    places = np.indices(lengths).reshape(len(lengths), -1)
    return {
        name: jax.tree.map(lambda leaf, place=place: leaf[place], stack)
        for (name, stack), place in zip(stacks.items(), places, strict=True)
    }


def sweep(
    run: Callable,
    hypers: PyTree,
    *,
    chunk: int | str | None = None,
    progress: bool = False,
    checkpoint: str | os.PathLike | None = None,
    resume: str | os.PathLike | None = None,
) -> PyTree:
    """``run(hyper)`` for every hyper of ``hypers``, whose leaves have a leading axis of models.

    One compiled ``vmap``: what ``run`` closes over, such as the data, is shared, so that the
    outputs of all models for a minibatch are one matrix product. Every result is that of
    ``run(hyper)`` alone, up to rounding, whatever the other models are. SGD models with the same
    key share the order of the data; with keys among ``hypers`` each has its own order, and needs
    matrix products of its own.

    Args:
      run: a fit, or any function of arrays that returns arrays. It is compiled once for the same
        function object and shapes: define it once, outside of loops.
      hypers: a pytree such as ``grid``'s.
      chunk: how many models at once: None for all, a number, or "auto" for as many as fit into
        the memory that is free, by the memory analysis of the compiled program.
      progress: show a progress bar, which advances by chunks.
      checkpoint: a directory, which is made where it is not there. Every chunk that is done is
        written there, whole or not at all, and the same call after an interruption of any kind
        computes only the others: the results are, to the last bit, those of a sweep that was
        never stopped. "auto" takes the size of the chunks that are there. What ``run`` does is
        known by what JAX has traced: its operations, and the data that it closes over. What it
        asks of the host while it runs, by a callback, is not, nor the settings of the compiler.
        (``checkpoint`` of ``sgd_fit`` is for one model, and writes within its run.)
      resume: the former name of ``checkpoint``.

    Returns:
      The stacked results. Ctrl-C during a sweep in chunks warns, and returns the results of the
      models that are done, the first ones of ``hypers``.

    Raises:
      ValueError or TypeError where leaves differ in length, or chunk is not a valid number; where
      the files of ``checkpoint`` are of other hypers, another chunk, run or version of JAX, or are
      damaged. OSError where they cannot be written.

    Takes the place of scikit-learn's ``GridSearchCV`` with joblib, without processes.

    >>> doubled = sweep(lambda hyper: 2 * hyper["lr"], grid(lr=[1.0, 2.0, 3.0]), chunk=2)
    >>> print(doubled)
    [2. 4. 6.]
    """
    if resume is not None and checkpoint is not None:
        raise ValueError("got checkpoint and resume, its former name; expected one of them.")
    checkpoint = resume if checkpoint is None else checkpoint
    hypers = _read(hypers, "hypers")
    models = _models(hypers, "hypers")
    size = models if chunk in (None, "auto") else min(models, checks.count(chunk, "chunk"))
    if not checks.is_known(hypers):
        if checkpoint is not None:
            raise ValueError("checkpoint is given under jit or vmap; expected None. Sweep outside.")
        return jax.lax.map(run, hypers, batch_size=size)
    hypers = jax.tree.map(jnp.asarray, hypers)
    if chunk == "auto":
        there = None if checkpoint is None else kept.chunk_size(Path(checkpoint))
        size = there or programs.models_that_fit(run, hypers, models)
    if checkpoint is not None:
        directory = kept.opened(checkpoint, run, hypers, models, size)
        return _in_chunks(run, hypers, models, size, progress, directory)
    if size == models:
        with _bar(progress, models) as bar:
            result = jax.block_until_ready(_run(run, hypers))
            bar.update(models)
        return result
    return _in_chunks(run, hypers, models, size, progress)


def best(results: PyTree, scores: Num[ArrayLike, " models"]) -> PyTree:
    """The result of the model with the least score, among the scores that are finite.

    Raises ValueError where no score is finite; under ``jit`` the floating-point leaves of the
    result are then NaN, and others, such as a status, are those of the first model.

    >>> print(best(grid(lr=[0.1, 1.0]), jnp.array([jnp.nan, 2.0])))
    {'lr': Array(1., dtype=float32)}
    """
    models = _models(results, "results")
    if jnp.shape(scores) != (models,):
        raise ValueError(
            f"scores has shape {jnp.shape(scores)}; expected ({models},), one for each of results."
        )
    scores = jnp.asarray(scores)
    finite = jnp.isfinite(scores)
    if checks.is_known(scores) and not finite.any():
        raise ValueError(
            f"scores holds no finite number among {models}; expected one to choose by. The status "
            "of the fits says how they ended."
        )
    least = jnp.argmin(jnp.where(finite, scores, jnp.inf))

    def choose(leaf):
        chosen = jnp.asarray(leaf)[least]
        floating = jnp.issubdtype(chosen.dtype, jnp.floating)
        return jnp.where(finite.any(), chosen, jnp.nan) if floating else chosen

    return jax.tree.map(choose, results)


def _in_chunks(
    run: Callable,
    hypers: PyTree,
    models: int,
    size: int,
    progress: bool,
    directory: kept.Kept | None = None,
):
    """All chunks have one shape and one program; the last one is padded with the last model."""
    starts, done = range(0, models, size), []
    there = kept.read(directory) if directory else {}
    with _bar(progress, models) as bar:
        try:
            for start in starts:
                if start in there:
                    result = _placed(there.pop(start), hypers)
                else:
                    rows = np.minimum(np.arange(start, start + size), models - 1)
                    part = jax.tree.map(functools.partial(_part, rows), hypers)
                    result = jax.block_until_ready(_run(run, part))
                    if directory:
                        kept.write(directory, start, result)
                done.append(result)
                bar.update(min(size, models - start))
        except KeyboardInterrupt:
            if not done:
                raise
            first = f"{min(size * len(done), models):,} of {models:,} models."
            more = " The same call goes on from here." if directory else ""
            warnings.warn(f"sweep was interrupted; these are the first {first}{more}", stacklevel=3)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:models], *done)


def _run(run: Callable, hypers: PyTree) -> PyTree:
    program = programs.of(run, hypers)
    return program.call(program.data, hypers)


def _part(rows: np.ndarray, leaf: Array) -> Array:
    return jax.device_put(leaf[rows], leaf.sharding)  # on the same devices as the whole


def _placed(result: PyTree, hypers: PyTree) -> PyTree:
    """Results from a file, on the devices of the hyper-parameters, and split by models as these."""
    sharding = jax.tree.leaves(hypers)[0].sharding
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[:1]))
    return jax.device_put(result, sharding)


def _read(stack: PyTree, name: str) -> PyTree:
    """The stack with its leaves, which may come from other libraries, as arrays."""
    return jax.tree.map(lambda leaf: checks.read(leaf, name), stack)


def _models(stack: PyTree, name: str) -> int:
    """The length of the leading axis, the same for all leaves."""
    leaves = jax.tree.leaves(stack)
    shapes = [jnp.shape(leaf) for leaf in leaves]
    lengths = {shape[0] if shape else None for shape in shapes}
    if len(lengths) != 1 or not lengths - {None, 0}:
        raise ValueError(
            f"{name} has leaves of shapes {shapes}; expected one leading axis of models, of the "
            "same length for all. What all models share belongs in run."
        )
    return lengths.pop()


def _bar(progress: bool, models: int):
    from tqdm import tqdm  # imported only when a sweep runs

    return tqdm(total=models, unit="model", disable=not progress)

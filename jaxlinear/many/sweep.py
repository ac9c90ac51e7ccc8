"""Many models in one call: a run over a pytree of hyper-parameters, a chunk of models at a time."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Num, PyTree

from jaxlinear import checks
from jaxlinear.many import programs


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
    run: Callable, hypers: PyTree, *, chunk: int | str | None = None, progress: bool = False
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

    Returns:
      The stacked results. Ctrl-C during a sweep in chunks warns, and returns the results of the
      models that are done, the first ones of ``hypers``.

    Raises:
      ValueError or TypeError where leaves differ in length, or chunk is not a valid number.

    Takes the place of scikit-learn's ``GridSearchCV`` with joblib, without processes.

    >>> doubled = sweep(lambda hyper: 2 * hyper["lr"], grid(lr=[1.0, 2.0, 3.0]), chunk=2)
    >>> print(doubled)
    [2. 4. 6.]
    """
    hypers = _read(hypers, "hypers")
    models = _models(hypers, "hypers")
    size = models if chunk in (None, "auto") else min(models, checks.count(chunk, "chunk"))
    if checks.is_traced(hypers):
        return jax.lax.map(run, hypers, batch_size=size)
    hypers = jax.tree.map(jnp.asarray, hypers)
    if chunk == "auto":
        size = programs.models_that_fit(run, hypers, models)
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
    if not checks.is_traced(scores) and not finite.any():
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


def _in_chunks(run: Callable, hypers: PyTree, models: int, size: int, progress: bool):
    """All chunks have one shape and one program; the last one is padded with the last model."""
    done = []
    with _bar(progress, models) as bar:
        try:
            for start in range(0, models, size):
                rows = np.minimum(np.arange(start, start + size), models - 1)
                part = jax.tree.map(functools.partial(_part, rows), hypers)
                done.append(_run(run, part))
                jax.block_until_ready(done[-1])
                bar.update(min(size, models - start))
        except KeyboardInterrupt:
            done = [part for part in done if all(leaf.is_ready() for leaf in jax.tree.leaves(part))]
            if not done:
                raise
            message = f"sweep was interrupted; these are the first {size * len(done):,} of"
            warnings.warn(f"{message} {models:,} models.", stacklevel=3)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:models], *done)


def _run(run: Callable, hypers: PyTree) -> PyTree:
    program = programs.of(run, hypers)
    return program.call(program.data, hypers)


def _part(rows: np.ndarray, leaf: Array) -> Array:
    return jax.device_put(leaf[rows], leaf.sharding)  # on the same devices as the whole


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

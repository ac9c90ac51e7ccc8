"""What probes score by chance: control tasks, selectivity, and labels at random."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from jaxlinear import checks
from jaxlinear.probes.layers import Probes, of_layers


class Selectivity(NamedTuple):
    """What probes score above what they score on labels that mean nothing.

    ``probes`` are those of the task. ``error`` (layers, *k) is theirs on held-out rows, at the l2
    chosen, ``control_error`` (layers, controls, *k) that of the control tasks, and ``selectivity``
    (layers, *k) the mean control error − error: for the error of decisions, accuracy − accuracy.
    """

    probes: Probes
    error: Float[Array, "*layers_k"]
    control_error: Float[Array, "*layers_controls_k"]
    selectivity: Float[Array, "*layers_k"]


def control_labels(key: PRNGKeyArray, y, types=None) -> Shaped[Array, "n *k"]:
    """Labels that say nothing about x but the type of a row: a control task for every concept.

    ``types`` (n,) names the type of every row, in numbers or words, such as the word that a token
    is: all rows of a type get one label, which is that of a random row, so that labels are as
    frequent as in y (n,) or (n, k) (Hewitt and Liang, "Designing and interpreting probes with
    control tasks", 2019). None shuffles the labels, the baseline of random labels (Zhang et al.,
    "Understanding deep learning requires rethinking generalization", 2017). NaN stays NaN.

    >>> labels = control_labels(jax.random.key(0), jnp.array([0, 1, 1, 0]), ["a", "b", "a", "b"])
    >>> print((labels[:2] == labels[2:]).all())
    True
    """
    y = checks.numeric(y, "y")
    if y.ndim not in (1, 2) or not len(y):
        raise ValueError(f"y has shape {y.shape}; expected (n,), or (n, k) for k concepts.")
    names, number = None, 0
    if types is not None:
        found, names = checks.names_and_numbers(types, len(y), "types")
        number = len(found)
    return _control_labels(number, key, jnp.asarray(y), names)


@functools.partial(jax.jit, static_argnums=0)
def _control_labels(number: int, key, y, types):
    def of(key, y):
        known = ~jnp.isnan(y) if jnp.issubdtype(y.dtype, jnp.floating) else jnp.ones(len(y), bool)
        shuffled = jnp.argsort(jnp.where(known, jax.random.uniform(key, (len(y),)), 2))
        if types is None:
            drawn = shuffled[jnp.cumsum(known) - 1]
        else:
            row = jax.random.randint(key, (number,), 0, jnp.maximum(jnp.sum(known), 1))
            drawn = shuffled[row][types]
        return jnp.where(known, y[drawn], y)

    if y.ndim == 1:
        return of(key, y)
    return jax.vmap(of, (0, 1), 1)(jax.random.split(key, y.shape[1]), y)


def selectivity(
    x,
    y,
    held_out=None,
    l2s=None,
    *,
    key: PRNGKeyArray,
    types=None,
    controls: int = 1,
    weight=None,
    **options,
) -> Selectivity | dict[str, Selectivity]:
    """Probes of a task and of control tasks, on the same rows: how much is more than memory.

    A probe that scores as well on labels that are drawn for every type of row has learnt the
    types, not what the layer knows of the concept. ``controls`` is the number of control tasks of
    every concept, from ``control_labels(key, y, types)``; they are concepts like the others, in
    the same program, each with an l2 of its own. The rest is as in ``of_layers``.

    Hewitt and Liang, "Designing and interpreting probes with control tasks", 2019.
    """
    y, controls = checks.numeric(y, "y"), checks.count(controls, "controls")
    columns = y if y.ndim == 2 else y[:, None]
    k = columns.shape[1]
    drawn = [control_labels(key, columns, types) for key in jax.random.split(key, controls)]
    every = np.concatenate if checks.is_known(y, drawn) else jnp.concatenate
    weight = None if weight is None else checks.numeric(weight, "weight")
    if weight is not None and weight.ndim == 2:
        weight = jnp.tile(weight, (1, 1 + controls))
    found = of_layers(x, every([columns, *drawn], axis=1), held_out, l2s, weight=weight, **options)
    split = functools.partial(_split, k=k, squeeze=y.ndim == 1)
    return (
        {name: split(of) for name, of in found.items()} if isinstance(found, dict) else split(found)
    )


def _split(probes: Probes, *, k: int, squeeze: bool) -> Selectivity:
    place = probes.l2.ndim - 1  # the axis of concepts, after that of layers
    error = jnp.nanmin(probes.scores, axis=place)
    error = error.reshape(*error.shape[:place], -1, k)

    def own(axis, leaf):
        leaf = jax.lax.slice_in_dim(leaf, 0, k, axis=axis)
        return jnp.squeeze(leaf, axis) if squeeze else leaf

    task = Probes(
        jax.tree.map(functools.partial(own, place), probes.fit),
        probes.scaling,
        own(place, probes.l2),
        own(place + 1, probes.scores),
        own(place + 1, probes.outputs),
    )
    mine, control = error[..., 0, :], error[..., 1:, :]
    gained = jnp.mean(control, axis=-2) - mine
    if squeeze:
        mine, control, gained = mine[..., 0], control[..., 0], gained[..., 0]
    return Selectivity(task, mine, control, gained)

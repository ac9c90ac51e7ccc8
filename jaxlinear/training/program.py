"""The compiled programs of ``sgd_fit``: a run of all epochs, or some epochs at a time."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxlinear.endings import first_true
from jaxlinear.linalg.products import norm_of_tree
from jaxlinear.model import affine
from jaxlinear.model.metrics import mean
from jaxlinear.model.objective import mean_loss
from jaxlinear.rows.absent import of_mean_one
from jaxlinear.training import train
from jaxlinear.training.rule import sgd
from jaxlinear.training.static import Data, Optimizer, Setting
from jaxlinear.types import Batch, Fit, Linear, Report, Status


class Training(NamedTuple):
    """A run between two epochs: the model, its ``Patience`` or None, and the curves so far."""

    model: train.Model
    watch: train.Patience | None
    history: Any
    validation: Any


@functools.partial(jax.jit, static_argnums=0)
def whole(setting: Setting, data: Data, listener) -> Fit:
    """All epochs and the report, as one program."""
    update, batch, options = _arguments(setting, data, listener)
    model = _first(setting, data)
    model, *curves, watch = train.run(update, model, batch, epochs=setting.epochs, **options)
    return _ended(setting, data, batch, model, watch, *curves)


@functools.partial(jax.jit, static_argnums=0)
def begin(setting: Setting, data: Data) -> Training:
    """The run before its first epoch, with curves of no epochs."""
    _, _, options = _arguments(setting, data)
    carry = train.begin(_first(setting, data), options["evaluate"], data.patience)
    return Training(*carry, *_curves(setting, data, carry, 0))


@functools.partial(jax.jit, static_argnums=0)
def advance(setting: Setting, data: Data, carry, epochs, listener) -> Training:
    """The run after so many ``epochs`` more, at most ``setting.epochs``, with their curves alone.

    ``carry`` is its model and watch until then. The number of epochs is traced: one program for any
    number of them. And a loop of one epoch that the compiler knew to be one would be another
    program, with other roundings.
    """
    update, batch, options = _arguments(setting, data, listener)
    epoch = train.epoch(update, batch, **options)
    first = train.first_epoch(carry[0], len(batch.x), setting.size, setting.drop_last)

    def visit(place, carried):
        carry, curves = carried
        carry, values = epoch(carry, first + place)
        return carry, jax.tree.map(lambda curve, v: curve.at[place].set(v), curves, values)

    curves = _curves(setting, data, carry, setting.epochs)
    carry, curves = jax.lax.fori_loop(0, epochs, visit, (carry, curves))
    return Training(*carry, *curves)


@functools.partial(jax.jit, static_argnums=0)
def end(setting: Setting, data: Data, training: Training) -> Fit:
    """The result of a run that is over."""
    model, watch, *curves = training
    best = model if watch is None else watch.best
    return _ended(setting, data, _batch(data), best, watch, *curves)


def traced(setting: Setting, data: Data, carry):
    """What an epoch does, as JAX traces it."""

    def one(data, carry):
        update, batch, options = _arguments(setting, data)
        return train.epoch(update, batch, **options)(carry, jnp.int32(0))

    return jax.make_jaxpr(one)(data, carry)


def _arguments(setting: Setting, data: Data, listener=None):
    """The update, the batch and the options of ``train.epoch`` and ``train.run``."""
    update = train.step(
        mean_loss(setting.loss, minibatch=True), bound(setting.optimizer, data.lr, data.momentum)
    )

    def evaluate(params):
        o = affine.predict(params, data.validation.x)
        measured = (("loss", mean(setting.loss)), *setting.metrics)
        return {
            name: metric(o, data.validation.y, data.validation.weight) for name, metric in measured
        }

    options = {
        "key": data.key,
        "size": setting.size,
        "drop_last": setting.drop_last,
        "shards": setting.shards,
        "evaluate": None if data.validation is None else evaluate,
        "patience": data.patience,
        "listener": listener,
    }
    return (
        lambda params, state, minibatch: update(params, state, minibatch, data.l2),
        _batch(data),
        options,
    )


def _batch(data: Data) -> Batch:
    return data.batch._replace(weight=of_mean_one(data.batch.weight))


def _first(setting: Setting, data: Data) -> train.Model:
    # Invalid data must give NaN, not parameters that look right.
    params = jax.tree.map(lambda leaf: jnp.where(data.sound, leaf, jnp.nan), data.start.params)
    state = resumed(bound(setting.optimizer, data.lr, data.momentum), params, data.start.state)
    return train.Model(params, state, data.start.steps)


def _curves(setting: Setting, data: Data, carry, epochs: int):
    """Curves of so many epochs, NaN in all of them."""
    update, batch, options = _arguments(setting, data)
    _, values = jax.eval_shape(train.epoch(update, batch, **options), carry, jnp.int32(0))
    return jax.tree.map(
        lambda value: jnp.full((epochs, *value.shape), jnp.nan, value.dtype), values
    )


def _ended(setting: Setting, data: Data, batch: Batch, model, watch, history, validation) -> Fit:
    """The result, with the report of the model over all examples."""
    value, gradient = train.full_gradient(
        mean_loss(setting.loss), model.params, batch, data.l2, shards=setting.shards
    )
    norm = norm_of_tree(gradient)
    stopped = False if watch is None else watch.waited >= data.patience
    # Without any finite validation loss the best model is the start: inf here, so DIVERGED.
    best = 0.0 if watch is None else watch.loss
    diverged = ~jnp.isfinite(value + norm + best)
    status = first_true(
        {
            Status.NONFINITE_INPUT: ~data.sound,
            Status.DIVERGED: diverged,
            Status.CONVERGED: jnp.asarray(stopped),
        },
        Status.MAX_STEPS,
    )
    report = Report(status, model.steps, value, norm)
    return Fit(model.params, report, history, validation, model.state)


def bound(optimizer: Optimizer | None, lr, momentum) -> optax.GradientTransformation:
    """The optimizer with its learning rate; ``sgd`` for None."""
    if optimizer is None:
        return sgd(lr, momentum)
    return optimizer if isinstance(optimizer, tuple) else optimizer(lr)


def resumed(optimizer: optax.GradientTransformation, params: Linear, state):
    """The optimizer state: ``state``, which must fit this optimizer, or a new one for None."""
    new = optimizer.init(params)
    if state is None:
        return new
    if jax.tree.map(jnp.shape, state) != jax.tree.map(jnp.shape, new):
        raise ValueError(
            "init is the Fit of another optimizer, whose state does not fit this one; pass "
            "init=fit.params to start this optimizer anew."
        )
    return state

"""The named fits: parts bound together, compiled once, and checked at the door."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from jaxlinear import checks
from jaxlinear.endings import first_true
from jaxlinear.model import affine
from jaxlinear.model.declaration import target_of
from jaxlinear.model.metrics import mean
from jaxlinear.model.objective import mean_loss
from jaxlinear.rows import blocks
from jaxlinear.rows.absent import of_mean_one
from jaxlinear.training import progress, train
from jaxlinear.training.rule import sgd
from jaxlinear.types import Batch, Fit, Linear, Report, Status

Optimizer = optax.GradientTransformation | Callable


def sgd_fit(
    loss: Callable,
    x,
    y,
    *,
    key: PRNGKeyArray,
    lr,
    l2=0.0,
    momentum=0.0,
    batch_size: int = 256,
    epochs: int = 10,
    init: Linear | Fit | None = None,
    optimizer: Optimizer | None = None,
    outputs: int | None = None,
    weight=None,
    validation: Batch | None = None,
    metrics: Mapping[str, Callable] | None = None,
    patience=None,
    drop_last: bool = False,
    callback: Callable | None = None,
    shards: int | None = None,
) -> Fit:
    """Minimise Σ_i w_i loss(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² by minibatch SGD.

    The whole run is one compiled program: epochs and steps are scans, the data stay on the
    device, every epoch has a fresh order of the examples. Numbers (lr, l2, momentum, weight,
    init, key, patience) are traced: changing them compiles nothing, and ``jax.vmap`` over them
    trains many models at once, which share one order of the data where they share the key.

    A step follows the gradient of Σ_i w_i loss_i / (m w̄) + l2/2 ‖w‖², with the m examples of its
    minibatch and w̄ = Σ w / n, the mean weight of all n: an estimate without bias of the gradient
    of the objective, for minibatches of any size. An example of weight 3 w̄ takes steps of three
    times the length, so that lr has to suit the largest weight; a minibatch of weight 0 moves
    nothing but what the penalty and the momentum do.

    Args:
      loss: ``loss(o, y)`` of one example, from ``losses`` or your own.
      x: (n, d), floating; or uint8, which is scaled to [0, 1] inside the compiled step.
      y: (n,) or (n, k), as the loss expects.
      key: the order of the examples. Models start at zero, so nothing else is random.
      lr: the learning rate.
      l2: the strength of the penalty on w, a number or (k,); the bias is never penalised.
      momentum: in [0, 1).
      batch_size: examples per step; the last ragged minibatch is kept (see ``drop_last``).
      epochs: passes over the data.
      init: parameters to start from, or a ``Fit`` to continue: its epochs and the state of its
        optimizer go on as if it had never stopped.
      optimizer: takes the place of ``sgd(lr, momentum)``: a function of ``lr`` such as
        ``optax.adam``, which keeps lr traced; or a finished optax optimizer, which has its own
        rate. (``optax.lbfgs`` needs more than minibatch gradients and does not fit here.)
      outputs: the number of outputs k, where y does not tell it.
      weight: (n,) ≥ 0, in any unit; 0 leaves an example out.
      validation: a batch whose metrics ``Fit.validation`` holds for every epoch: "loss" (the
        mean loss without penalty) and those of ``metrics``.
      metrics: name -> ``metric(o, y, weight)``, as in ``jaxlinear.metrics``.
      patience: stop once this many epochs in a row did not improve the validation loss, and
        return the best model; later entries of the history are NaN.
      drop_last: leave the last ragged minibatch out.
      callback: ``callback(epoch, objective, validation)`` after every epoch, on the host.
      shards: draw an equal part of every minibatch from each of so many blocks of rows; None for
        as many as x is laid out in over devices (see ``sharding``), of which each draws its own.

    Returns:
      ``Fit``, with the running mean of the training objective of every epoch as ``history``.
      ``report.status`` is MAX_STEPS (SGD does not test for an optimum), CONVERGED where patience
      ran out, DIVERGED where the objective is not finite, or, under ``jit`` and ``vmap``,
      NONFINITE_INPUT.

    Raises:
      ValueError or TypeError for what can be seen before tracing: shapes, dtypes, labels out of
      range, NaN or inf, negative weights, digits that the dtype cannot hold (see
      ``least_squares``).

    scikit-learn's ``SGDClassifier`` and ``SGDRegressor`` (minibatches of one; alpha = l2); a loop
    over torch's ``DataLoader`` with ``SGD(weight_decay=l2)`` on w alone. d2l 3.4 and 4.4.

    >>> from jaxlinear import data
    >>> batch = data.synthetic_regression(jax.random.key(0), 1000, [2, -3.4], 4.2)
    >>> fit = sgd_fit(jl.losses.squared_error, batch.x, batch.y, key=jax.random.key(1), lr=0.1)
    >>> print(fit.params.b.round(1), fit.report.steps, jl.Status(int(fit.report.status)).name)
    4.1 40 MAX_STEPS
    """
    kind = target_of(loss)
    batch, shape, sound = checks.examples(x, y, weight, kind, outputs=_outputs(outputs, init))
    params, state, steps = _start(init, batch.x, shape)
    dtype = params.w.dtype
    if validation is not None:
        validation, also_sound = _validation(validation, kind, shape, batch.x.shape[1])
        sound = sound & also_sound
    elif patience is not None or metrics:
        raise ValueError("patience and metrics need validation=Batch(x, y); got None.")
    if optimizer is not None and not checks.is_traced(momentum) and momentum:
        raise ValueError(
            f"momentum is {momentum} beside an optimizer; expected 0. Give it to the optimizer, "
            "as in optax.sgd(lr, momentum)."
        )
    arguments = (
        batch,
        validation,
        params,
        state,
        steps,
        key,
        checks.number(lr, "lr", dtype),
        checks.number(l2, "l2", dtype, shape=shape),
        checks.number(momentum, "momentum", dtype, below=1.0),
        None if patience is None else checks.number(patience, "patience", int, at_least=1),
        sound,
    )
    size = min(checks.count(batch_size, "batch_size"), len(batch.x))
    shards = blocks.shards_of(x) if shards is None else checks.count(shards, "shards")
    if len(batch.x) % shards or size % shards:
        raise ValueError(
            f"got {len(batch.x)} examples and batch_size {size} for {shards} shards; expected "
            "multiples of them. jl.sharding.over_examples fills up examples by rows of weight 0."
        )
    traced = checks.is_traced(arguments)
    with progress.listening(callback, traced=traced) as listener:
        fit = _sgd_fit(
            *arguments,
            listener,
            loss=loss,
            optimizer=optimizer,
            size=size,
            epochs=checks.count(epochs, "epochs"),
            drop_last=drop_last,
            shards=shards,
            metrics=tuple((metrics or {}).items()),
        )
        if callback is not None and not traced:
            jax.block_until_ready(fit)
            jax.effects_barrier()
    return fit


@functools.partial(
    jax.jit,
    static_argnames=("loss", "optimizer", "size", "epochs", "drop_last", "shards", "metrics"),
)
def _sgd_fit(
    batch, validation, params, state, steps, key, lr, l2, momentum, patience, sound, listener,
    *, loss, optimizer, size, epochs, drop_last, shards, metrics,
):  # fmt: skip
    batch = batch._replace(weight=of_mean_one(batch.weight))
    # Bad data end in no number, and not in a wrong one.
    params = jax.tree.map(lambda leaf: jnp.where(sound, leaf, jnp.nan), params)
    optimizer = _bind(optimizer, lr, momentum)
    update = train.step(mean_loss(loss, minibatch=True), optimizer)
    model = train.Model(params, _resume(optimizer, params, state), steps)

    def evaluate(params):
        o = affine.predict(params, validation.x)
        measured = (("loss", mean(loss)), *metrics)
        return {name: metric(o, validation.y, validation.weight) for name, metric in measured}

    model, history, validated, watch = train.run(
        lambda params, state, minibatch: update(params, state, minibatch, l2),
        model,
        batch,
        key=key,
        size=size,
        epochs=epochs,
        drop_last=drop_last,
        shards=shards,
        evaluate=None if validation is None else evaluate,
        patience=patience,
        listener=listener,
    )
    objective = mean_loss(loss)
    value, gradient = train.full_gradient(objective, model.params, batch, l2, shards=shards)
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in gradient))
    stopped = False if watch is None else watch.waited >= patience
    # Where no epoch had a finite validation loss, the best model is the one from before.
    best = 0.0 if watch is None else watch.loss
    diverged = ~jnp.isfinite(value + norm + best)
    status = first_true(
        {
            Status.NONFINITE_INPUT: ~sound,
            Status.DIVERGED: diverged,
            Status.CONVERGED: jnp.asarray(stopped),
        },
        Status.MAX_STEPS,
    )
    return Fit(
        model.params, Report(status, model.steps, value, norm), history, validated, model.state
    )


def _outputs(outputs: int | None, init: Linear | Fit | None) -> int | None:
    """The number of outputs that the arguments tell, before y is asked."""
    if outputs is not None:
        return checks.count(outputs, "outputs")
    params = init.params if isinstance(init, Fit) else init
    return params.w.shape[0] if params is not None and jnp.ndim(params.w) == 2 else None


def _validation(validation: Batch, kind: str, shape: tuple[int, ...], width: int):
    """The validation batch, checked, and whether it is sound."""
    outputs = shape[0] if shape else None
    try:
        batch, _, sound = checks.examples(
            *validation, kind, outputs=outputs, width=width, fitted=False
        )
    except (ValueError, TypeError) as error:
        raise type(error)(f"validation: {error}") from error
    return batch, sound


def _start(init: Linear | Fit | None, x, shape: tuple[int, ...]):
    """Parameters, the state of the optimizer and the steps to start from."""
    d = x.shape[1]
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else None
    if init is None:
        zero = np.zeros((*shape, d), dtype or jnp.result_type(float))  # compiles nothing
        return Linear(zero, zero[..., 0]), None, np.int32(0)
    fit = init if isinstance(init, Fit) else None
    params = checks.parameters(fit.params if fit else init, "init", shape, x)
    floating = dtype or jnp.result_type(params.w.dtype, jnp.float16)
    params = Linear(*(jnp.asarray(leaf, floating) for leaf in params))
    return (params, fit.state, fit.report.steps) if fit else (params, None, np.int32(0))


def _bind(optimizer: Optimizer | None, lr, momentum) -> optax.GradientTransformation:
    if optimizer is None:
        return sgd(lr, momentum)
    return optimizer if isinstance(optimizer, tuple) else optimizer(lr)


def _resume(optimizer: optax.GradientTransformation, params: Linear, state):
    """The state to go on with: ``state``, where it is one of this optimizer, or a new one."""
    new = optimizer.init(params)
    if state is None:
        return new
    if jax.tree.map(jnp.shape, state) != jax.tree.map(jnp.shape, new):
        raise ValueError(
            "init is the Fit of another optimizer, whose state does not fit this one; pass "
            "init=fit.params to start this optimizer anew."
        )
    return state

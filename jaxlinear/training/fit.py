"""``sgd_fit``: checks its arguments and runs the whole training as one compiled program."""

import os
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxlinear import checks
from jaxlinear.model.declaration import target_of
from jaxlinear.rows import blocks
from jaxlinear.training import checkpoint as checkpoints
from jaxlinear.training import program, progress, train
from jaxlinear.training.static import Data, Optimizer, Setting
from jaxlinear.types import Batch, Fit, Linear


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
    checkpoint: str | os.PathLike | None = None,
    every: int | None = None,
) -> Fit:
    """Minimise Σ_i w_i loss(w x_i + b, y_i) / Σ_i w_i + l2/2 ‖w‖² by minibatch SGD.

    The whole run is one compiled program: epochs and steps are scans, the data stay on the
    device, and every epoch shuffles the examples anew. Numbers (lr, l2, momentum, weight, init,
    key, patience) are traced: changing them does not recompile, and ``jax.vmap`` over them trains
    many models at once. Models with the same key share the order of the data.

    A step follows the gradient of Σ_i w_i loss_i / (m w̄) + l2/2 ‖w‖², where m is the number of
    examples in the minibatch and w̄ = Σ w / n the mean weight of all n: an unbiased estimate of
    the gradient of the objective, for minibatches of any size. An example of weight 3 w̄ counts
    three times in its gradient, so lr has to suit the largest weight. In a minibatch of total
    weight 0 only the penalty and the momentum change the parameters.

    Args:
      loss: ``loss(o, y)`` of one example, from ``losses`` or your own.
      x: (n, d), floating; or uint8, which is scaled to [0, 1] inside the compiled step.
      y: (n,) or (n, k), as the loss expects.
      key: for the order of the examples. Models start at zero, so nothing else is random.
      lr: the learning rate.
      l2: the strength of the penalty on w, a number or (k,); the bias is never penalised.
      momentum: in [0, 1).
      batch_size: examples per step; the last ragged minibatch is kept (see ``drop_last``).
      epochs: passes over the data.
      init: parameters to start from, or a ``Fit`` to continue: the count of its epochs and the
        state of its optimizer continue as if training had not stopped.
      optimizer: replaces ``sgd(lr, momentum)``: a function of ``lr`` such as ``optax.adam``,
        which keeps lr traced; or an optax optimizer that already has its learning rate, in which
        case lr is not used. (``optax.lbfgs`` needs more than minibatch gradients and does not
        fit here.)
      outputs: the number of outputs k, where y does not determine it.
      weight: (n,) ≥ 0, up to a common factor; 0 leaves an example out.
      validation: a batch whose metrics ``Fit.validation`` holds for every epoch: "loss" (the
        mean loss without penalty) and those of ``metrics``.
      metrics: name -> ``metric(o, y, weight)``, as in ``jaxlinear.metrics``.
      patience: stop once this many epochs in a row did not improve the validation loss, and
        return the best model; later entries of the history are NaN.
      drop_last: leave the last ragged minibatch out.
      callback: ``callback(epoch, objective, validation)`` after every epoch, on the host.
      shards: split the rows into this many blocks, and draw an equal part of every minibatch
        from each; None for the number of parts in which the rows of x are spread over devices
        (see ``sharding``), so that every device draws from its own rows.
      checkpoint: a file, in which the state of the run is kept. The same call after an
        interruption of any kind goes on from there, and ends, to the last bit, as a run that was
        never stopped; with more ``epochs`` it goes on to these. The file is written whole or not
        at all, and the one before it kept as ``<name>.previous``, which is used, with a warning,
        where the newest is damaged. One process at a time.
      every: epochs from one checkpoint to the next, 1 by default.

    Returns:
      ``Fit``, with the running mean of the training objective of every epoch as ``history``.
      ``report.status`` is MAX_STEPS (SGD does not test for an optimum), CONVERGED where patience
      ran out, DIVERGED where the objective is not finite, or, under ``jit`` and ``vmap``,
      NONFINITE_INPUT.

    Raises:
      ValueError or TypeError for what can be seen before tracing: shapes, dtypes, labels out of
      range, NaN or inf, negative weights, numbers whose digits the dtype cannot hold (see
      ``least_squares``); where the checkpoint is of other data, numbers, loss or version of JAX,
      is damaged, or is asked for under ``jit`` or ``vmap``. OSError where it cannot be written.

    scikit-learn's ``SGDClassifier`` and ``SGDRegressor`` (minibatches of one; alpha = l2); a loop
    over torch's ``DataLoader`` with ``SGD(weight_decay=l2)`` on w alone. d2l 3.4 and 4.4.

    >>> from jaxlinear import data
    >>> batch = data.synthetic_regression(jax.random.key(0), 1000, [2, -3.4], 4.2)
    >>> fit = sgd_fit(jl.losses.squared_error, batch.x, batch.y, key=jax.random.key(1), lr=0.1)
    >>> print(fit.params.b.round(1), fit.report.steps, jl.Status(int(fit.report.status)).name)
    4.1 40 MAX_STEPS
    """
    kind = target_of(loss)
    batch, shape, sound = checks.examples(x, y, weight, kind, outputs=outputs_of(outputs, init))
    start = start_at(init, batch.x, shape)
    dtype = start.params.w.dtype
    if validation is not None:
        validation, also_sound = _validation(validation, kind, shape, batch.x.shape[1])
        sound = sound & also_sound
    elif patience is not None or metrics:
        raise ValueError("patience and metrics need validation=Batch(x, y); got None.")
    require_one_momentum(optimizer, momentum)
    data = Data(
        batch,
        validation,
        start,
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
    epochs, metrics = checks.count(epochs, "epochs"), tuple((metrics or {}).items())
    setting = Setting(loss, optimizer, size, epochs, bool(drop_last), shards, metrics)
    traced = checks.is_traced(data)
    path, every = _checkpoint(checkpoint, every, checks.is_known(data))
    with progress.listening(callback, traced=traced) as listener:
        if path is None:
            fit = program.whole(setting, data, listener)
        else:
            fit = checkpoints.run(setting, data, listener, path, every)
        if callback is not None and not traced:
            jax.block_until_ready(fit)
            jax.effects_barrier()
    return fit


def require_one_momentum(optimizer: Optimizer | None, momentum) -> None:
    """Refuse a momentum beside an optimizer, which would not see it."""
    if optimizer is not None and checks.is_known(momentum) and momentum:
        raise ValueError(
            f"momentum is {momentum} beside an optimizer; expected 0. Give it to the optimizer, "
            "as in optax.sgd(lr, momentum)."
        )


def outputs_of(outputs: int | None, init: Linear | Fit | None) -> int | None:
    """The number of outputs according to ``outputs`` or ``init``; None leaves it to y."""
    if outputs is not None:
        return checks.count(outputs, "outputs")
    params = init.params if isinstance(init, Fit) else init
    return params.w.shape[0] if params is not None and jnp.ndim(params.w) == 2 else None


def _validation(validation: Batch, kind: str, shape: tuple[int, ...], width: int):
    """The checked validation batch, and the flag ``sound``: whether its values are valid."""
    outputs = shape[0] if shape else None
    try:
        batch, _, sound = checks.examples(
            *validation, kind, outputs=outputs, width=width, fitted=False
        )
    except (ValueError, TypeError) as error:
        raise type(error)(f"validation: {error}") from error
    return batch, sound


def start_at(init: Linear | Fit | None, x, shape: tuple[int, ...]) -> train.Model:
    """The initial parameters, optimizer state (None for a new one) and number of steps."""
    d = x.shape[1]
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else None
    if init is None:
        zero = np.zeros((*shape, d), dtype or jnp.result_type(float))  # compiles nothing
        return train.Model(Linear(zero, zero[..., 0]), None, np.int32(0))
    fit = init if isinstance(init, Fit) else None
    params = checks.parameters(fit.params if fit else init, "init", shape, x)
    floating = dtype or jnp.result_type(params.w.dtype, jnp.float16)
    params = Linear(*(jnp.asarray(leaf, floating) for leaf in params))
    return train.Model(params, *((fit.state, fit.report.steps) if fit else (None, np.int32(0))))


def _checkpoint(path: str | os.PathLike | None, every: int | None, known: bool):
    """The path of the checkpoint, or None, and the epochs from one to the next."""
    if path is None:
        if every is not None:
            raise ValueError(f"every is {every} without a checkpoint; expected checkpoint=path.")
        return None, 1
    if not known:
        raise ValueError(
            "checkpoint is given under jit or vmap, or with data in several processes; expected "
            "None. Many models at once are kept by jl.sweep(…, checkpoint=directory)."
        )
    return checkpoints.opened(path), checks.count(1 if every is None else every, "every")

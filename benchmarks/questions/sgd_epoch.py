"""How long is one epoch of softmax regression on Fashion-MNIST, shuffling included?

60,000 x 784 -> 10, minibatches of 256, learning rate 0.1, 10 epochs per timed run. The proof:
given the same orders of the examples, all reach the training loss of ``sgd_fit``, which is
recomputed in float64 NumPy. The timed runs shuffle in their own way, so their loss differs by
what the last minibatches happen to be: 0.440 to 0.461 after 10 epochs (on the sample, 0.58 to
0.66).
"""

import functools
import io
from collections.abc import Callable
from typing import NamedTuple

from tqdm import tqdm

from benchmarks import first_call, float64, harness, machine
from benchmarks.data import load
from benchmarks.rivals import libraries, sgd
from benchmarks.rivals.sgd import Data

EPOCHS, LR, SIZE = 10, 0.1, 256
SAME_ORDER, OWN_ORDER, OWN_ORDER_OF_SAMPLE = 0.001, 0.04, 0.15  # tolerances of the loss
REFERENCE = "jaxlinear, `sgd_fit` from uint8"


def answer(*, directory=None, fast=False, rounds=7, say=print) -> dict:
    """Prove, time, and describe; ``fast`` is a smoke test on the embedded sample."""
    data = load(directory, fast)
    rounds = 2 if fast else rounds
    tolerance = OWN_ORDER_OF_SAMPLE if fast else OWN_ORDER
    expected = training_loss(sgd.jaxlinear(sgd.on_jax(data[0]), EPOCHS, LR, SIZE), data[1])
    rows = harness.compare(
        entries(*data, all_variants=not fast),
        within(SAME_ORDER, expected, data[1]),
        check_timed=within(tolerance, expected, data[1]),
        rounds=rounds,
        trials=1 if fast else max(1, rounds // 3),
        say=say,
    )
    say("first call, in fresh processes")
    notes = {} if fast else first_call.measure(directory)
    say("cost of a progress bar")
    notes["cost_of_progress_bar"] = cost_of_progress_bar(
        sgd.on_jax(data[0]), 1 if fast else 3 * rounds
    )
    return {
        "question": "sgd_epoch",
        "title": "One epoch of softmax regression on Fashion-MNIST"
        + (" (smoke test on the embedded sample)" if fast else ""),
        "settings": {
            "shape": list(data[0].x.shape),
            "epochs": EPOCHS,
            "batch_size": SIZE,
            "lr": LR,
            "loss": expected,
            "tolerance_same_order": SAME_ORDER,
            "tolerance_own_order": tolerance,
        },
        "unit": "epoch",
        "reference": REFERENCE,
        "rows": [row._asdict() for row in rows],
        "notes": notes,
        "machine": machine.describe(fast=fast),
    }


def training_loss(params, data: Data) -> float:
    """The mean cross-entropy of all examples in float64."""
    return float(float64.softmax_objective(params, data.x, data.y, 0.0))


def within(tolerance: float, expected: float, data: Data) -> Callable:
    """A check that gives the loss of an answer, or refuses it."""

    def check(params):
        loss = training_loss(params, data)
        if not abs(loss - expected) <= tolerance:  # a NaN is refused too
            raise ValueError(
                f"training loss {loss:.4f}, expected {expected:.4f} within {tolerance:g}"
            )
        return loss

    return check


class Entry(NamedTuple):
    """A line of the table of rivals, before it is crossed with bytes, floats and threads."""

    name: str
    fit: Callable  # (data, epochs, lr, size, orders)
    data: tuple[Data, ...]
    threads: tuple = ("",)


def entries(raw: Data, scaled: Data, *, all_variants: bool = True) -> list[harness.Rival]:
    """All rivals, in all their variants or in the first."""
    jax_data = sgd.on_jax(raw), sgd.on_jax(scaled)
    table = [
        Entry(REFERENCE, sgd.jaxlinear, jax_data[:1]),
        Entry("jaxlinear, `sgd_fit` from float32", sgd.jaxlinear, jax_data[1:]),
        Entry("JAX, Python loop over a jitted step", sgd.jitted_step, jax_data),
        Entry("NumPy, gradient by hand", sgd.numpy_with, (raw, scaled), machine.thread_counts()),
    ]
    orders = sgd.jaxlinear_orders(len(raw.y))
    crossed = [r for entry in table for r in _variants(entry, orders)]
    crossed += _torch(raw, scaled, orders)
    return crossed if all_variants else list({r.name: r for r in reversed(crossed)}.values())[::-1]


def _torch(raw: Data, scaled: Data, orders) -> list[harness.Rival]:
    names = ("autograd, hand-tuned loop", "gradient by hand", "nn.Linear, DataLoader, optim.SGD")
    if reason := libraries.absent("torch"):
        return [libraries.skipped(f"torch, {name}", reason) for name in names]
    from benchmarks.rivals import sgd_torch as torch_rivals

    raw, scaled = torch_rivals.on_torch(raw), torch_rivals.on_torch(scaled)
    fits = torch_rivals.autograd_loop, torch_rivals.gradient_by_hand, torch_rivals.data_loader
    data = (raw, scaled), (raw, scaled), (scaled,)
    threads = machine.thread_counts() if torch_rivals.DEVICE == "cpu" else (1,)
    return [
        rival
        for name, fit, forms in zip(names, fits, data, strict=True)
        for rival in _variants(
            Entry(f"torch, {name}", functools.partial(_on_torch, fit), forms, threads), orders
        )
    ]


def _on_torch(fit, threads, *arguments):
    from benchmarks.rivals import sgd_torch as torch_rivals

    return torch_rivals.with_threads(threads, fit, *arguments)


def _variants(entry: Entry, orders):
    for data in entry.data:
        for threads in entry.threads:
            first = (threads,) if threads else ()
            fit = functools.partial(entry.fit, *first, data, EPOCHS, LR, SIZE)
            form = "from uint8" if data.scale < 1 else "from float32"
            said = [form] if len(entry.data) > 1 else []
            said += [f"{threads} thread{'s'[: threads > 1]}"] if threads else []
            variant = ", ".join(said)
            proof = functools.partial(fit, orders)
            yield harness.Rival(entry.name, fit, EPOCHS, variant, proof)


def cost_of_progress_bar(data: Data, rounds: int) -> float:
    """How much longer a run is with a tqdm bar behind ``callback=``: 0.01 is one percent."""

    def with_bar():
        with tqdm(total=EPOCHS, file=io.StringIO()) as bar:
            return sgd.jaxlinear(data, EPOCHS, LR, SIZE, callback=lambda *_: bar.update())

    def without():
        return sgd.jaxlinear(data, EPOCHS, LR, SIZE)

    pair = [harness.Rival("without", without), harness.Rival("with a bar", with_bar)]
    rows = harness.compare(pair, lambda answer: None, rounds=rounds)
    # The minimum: a cost of a fifth of a millisecond drowns in what else the machine does.
    return rows[1].minimum / rows[0].minimum - 1

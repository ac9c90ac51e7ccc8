"""How long do many models take at once, and one after another?

The part of a loop that is timed says so in its row. All SGD is on the same data from the same
start; of models trained in other orders of the examples the test accuracy is compared, and of full
batches the parameters, against float64.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlinear as jl
from benchmarks import curves, tasks
from benchmarks.harness import Rival
from benchmarks.rivals import many, sgd
from benchmarks.rivals.libraries import import_libraries, on_jax, rivals
from benchmarks.tasks import Task, shape_of

LR, EPOCHS, SIZE = 0.5, 10, 256
OWN_RATE = -1  # the place of a model that has no rate of the sweep


def answer(*, directory=None, fast=False, rounds=7, say=print) -> dict:
    import_libraries()
    result = tasks.answer(
        "many_models", TASKS, directory=directory, fast=fast, rounds=rounds, say=say
    )
    say("speed by number of models")
    sizes = (1, 4) if fast else (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
    title = f"Logistic regressions of 100 x 10, {EPOCHS} epochs"
    result["curves"] = [curves.measure(title, "models", "all fits", sizes, both_ways, fast)]
    return result


class Trained(NamedTuple):
    """Parameters of the models ``places`` of a sweep, or of models of a rate of their own."""

    places: Any
    params: jl.Linear


def learning_rates(directory, fast: bool) -> Task:
    loaded = jl.data.fashion_mnist_sample() if fast else jl.data.fashion_mnist(directory)
    (x, y, _), (x_test, y_test, _) = (
        jax.tree.map(np.asarray, part) for part in (loaded.train, loaded.test)
    )
    x, y = (x[:512], y[:512]) if fast else (x, y)
    models, epochs = (4, 1) if fast else (256, 3)
    lrs = np.logspace(-2.5, -0.5, models).astype(np.float32)
    data = sgd.on_jax(sgd.Data(x, y))
    loss, key = jl.losses.softmax_cross_entropy, jax.random.key(0)

    def fit(hyper):
        return jl.sgd_fit(
            loss, *data, key=key, lr=hyper["lr"], batch_size=SIZE, epochs=epochs, outputs=10
        ).params

    every = np.arange(models)
    few, two = every[:: max(1, models // 4)], every[:: max(1, models // 2)]
    one_by_one = jax.jit(fit)

    def accuracy(params) -> float:
        o = (x_test / np.float32(255)) @ np.asarray(params.w).T + np.asarray(params.b)
        return float((o.argmax(axis=1) == y_test).mean())

    def take(params, i):
        return jl.Linear(*(np.asarray(leaf)[i] for leaf in params))

    expected = {i: accuracy(one_by_one({"lr": lrs[i]})) for i in {*few.tolist(), *two.tolist()}}
    expected[OWN_RATE] = 0 if fast else 0.8

    def check(answer):
        """The worst accuracy of these models, none of which may be below that of its rate."""
        each = {i: accuracy(take(answer.params, at)) for at, i in enumerate(answer.places)}
        short = max(expected[i] - got for i, got in each.items() if i in expected)
        if not short <= (0.5 if fast else 0.03):
            raise ValueError(f"an accuracy is {short:.3f} below that of its learning rate")
        return min(each.values())

    def of_torch(i):
        from benchmarks.rivals import sgd_torch as torch_rivals

        return torch_rivals.gradient_by_hand(of_torch.data(), epochs, float(lrs[i]), SIZE)

    def torch_data():
        from benchmarks.rivals import sgd_torch as torch_rivals

        return torch_rivals.on_torch(sgd.Data(x, y))

    of_torch.data = functools.cache(torch_data)
    scaled = x / np.float32(255)
    part = functools.partial(tasks.said_of, whole=models, things="models")

    def stacked(places, fit_one):
        return lambda: Trained(places, many.stack([fit_one(i) for i in places]))

    return Task(
        f"{models} learning rates of softmax regression, Fashion-MNIST, {shape_of(x)}",
        "model and epoch",
        [
            Rival("jaxlinear, `sweep`",
                  lambda: Trained(every, jl.sweep(fit, {"lr": lrs})), models * epochs),
            Rival("jaxlinear, loop over `sgd_fit`", stacked(few, lambda i: fit({"lr": lrs[i]})),
                  len(few) * epochs, part(len(few) / models)),
            *rivals("torch, gradient by hand, loop over the models", stacked(two, of_torch),
                        said=part(len(two) / models), work=len(two) * epochs, needs=["torch"]),
            *rivals("NumPy, gradient by hand, loop over the models",
                        stacked(two, lambda i: sgd.numpy_by_hand(
                            sgd.Data(x, y), epochs, float(lrs[i]), SIZE)),
                        said=part(len(two) / models), work=len(two) * epochs),
            *rivals("scikit-learn, `SGDClassifier`, one example at a time",
                        lambda: Trained([OWN_RATE], many.stack(
                            [many.sgd_classifier(scaled, y, epochs)])),
                        said=part(1 / models), work=epochs, threads=[1], needs=["sklearn"]),
        ],
        check,
        {"shape": x.shape, "models": models, "epochs": epochs, "batch_size": SIZE},
        "least accuracy",
        rounds=3,
        # Four FLOPs for every weight and example, and one pass more for the report.
        cost=lambda: {"flops": 40.0 * x.size * (epochs + 1) / epochs, "bytes": 0.0},
        headline=f"{models} learning rates of softmax regression, Fashion-MNIST",
    )  # fmt: skip


def small(models: int):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((models, 100, 10), dtype=np.float32)
    o = np.einsum("mnd,md->mn", x, rng.standard_normal((models, 10)))
    return x, (o + rng.logistic(size=o.shape) > 0).astype(np.float32)


def fit_small(hyper) -> jl.Linear:
    return jl.sgd_fit(
        jl.losses.logistic, hyper["x"], hyper["y"], key=jax.random.key(0), lr=LR,
        batch_size=100, epochs=EPOCHS,
    ).params  # fmt: skip


ONE_SMALL = jax.jit(fit_small)


def both_ways(models: int) -> dict:
    x, y = small(models)
    hypers = dict(zip("xy", on_jax(x, y), strict=True))
    few = min(models, 100)
    pairs = [{"x": x[i], "y": y[i]} for i in range(few)]
    return {
        "loop over sgd_fit": (lambda: [fit_small(pair) for pair in pairs], few / models),
        "loop over jit(sgd_fit)": (lambda: [ONE_SMALL(pair) for pair in pairs], few / models),
        "sweep": (lambda: jl.sweep(fit_small, hypers), 1),
    }


def small_models(directory, fast: bool) -> Task:
    models = 20 if fast else 10_000
    x, y = small(models)
    hypers = dict(zip("xy", on_jax(x, y), strict=True))
    few = min(models, 200)
    pairs = [{"x": x[i], "y": y[i]} for i in range(few)]
    part, said = few / models, tasks.said_of(few / models, models, "models")

    def looped(fit):
        return lambda: many.stack([fit(pair) for pair in pairs])

    return Task(
        f"{models:,} logistic regressions of 100 \N{MULTIPLICATION SIGN} 10 by gradient descent, "
        f"{EPOCHS} epochs",
        f"{models:,} fits",
        [
            Rival("jaxlinear, `sweep`", lambda: jl.sweep(fit_small, hypers)),
            Rival("jaxlinear, loop over `sgd_fit`", looped(fit_small), part, said),
            Rival("jaxlinear, loop over `jit(sgd_fit)`", looped(ONE_SMALL), part, said),
            *rivals("NumPy, all models in one product",
                        lambda: many.logistic_descent(x, y, LR, EPOCHS)),
            *rivals("NumPy, loop over the models", looped(lambda pair: jl.Linear(*(
                leaf[0] for leaf in many.logistic_descent(
                    pair["x"][None], pair["y"][None], LR, EPOCHS)))), said=said, work=part),
            *rivals("torch, all models in one product",
                        many.torch_descent(x, y, LR, EPOCHS), needs=["torch"]),
        ],
        tasks.near(many.logistic_descent(*(
            a.astype(np.float64) for a in (x, y)), LR, EPOCHS), 1e-4),
        {"models": models, "shape": [100, 10], "epochs": EPOCHS},
        "largest error",
        dtype="float32",
        cost=lambda: {"flops": 40.0 * models * 100 * (EPOCHS + 1),
                      "bytes": 2.0 * x.nbytes * (EPOCHS + 1)},
        headline=f"{models:,} logistic regressions of 100 \N{MULTIPLICATION SIGN} 10",
    )  # fmt: skip


def cross_validation(directory, fast: bool) -> Task:
    """5 folds x 20 penalties x 5 repeats, of the same folds for all."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import RepeatedStratifiedKFold

    x, y = load_digits(return_X_y=True)
    x, y = (x[:200, ::4], y[:200]) if fast else (x, y)
    x, y, repeats, number = (x / 16).astype(np.float32), y.astype(np.int32), 5, 20
    repeats, number = (1, 3) if fast else (repeats, number)
    l2s = np.logspace(-5, 0, number).astype(np.float32)
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=0)
    weight = np.zeros((5 * repeats, len(x)), np.float32)
    for model, (rows, _) in enumerate(folds.split(x, y)):
        weight[model, rows] = 1
    data, penalties = on_jax(x, y, weight), jnp.asarray(l2s)
    loss = jl.losses.softmax_cross_entropy

    def path(weight):
        """The accuracy on the rows that are held out, for every penalty."""
        fits = jl.glm_path(loss, *data[:2], penalties, weight=weight, outputs=10, tol=1e-4)
        held = jax.vmap(lambda params: jl.metrics.accuracy(
            jl.predict(params, data[0]), data[1], 1 - weight))  # fmt: skip
        return held(fits.params)

    def of_folds():
        return np.asarray(jl.sweep(path, data[2])).mean(axis=0)

    def run():
        chosen = jl.glm_cv(loss, *data[:2], penalties, data[2], outputs=10, tol=1e-4)
        return 1 - np.asarray(chosen.scores)

    expected = of_folds()

    def check(scores):
        if np.shape(scores) != l2s.shape or np.argmax(scores) != np.argmax(expected):
            raise ValueError(f"chose another l2, with scores {scores}")
        return tasks.at_most(0.05 if fast else 0.004, lambda s: np.abs(s - expected).max())(scores)

    fits = 5 * repeats * number
    return Task(
        f"Cross-validated softmax regression, digits, {shape_of(x)}, 5 folds of {repeats} "
        f"repeats, {number} penalties",
        f"{fits} fits",
        [
            Rival("jaxlinear, `glm_cv`", run),
            Rival("jaxlinear, `sweep` of `glm_path` over folds", of_folds),
            *(
                Rival("scikit-learn, `GridSearchCV`, n_jobs=2",
                      functools.partial(many.grid_search, x, y, l2s, folds, solver, tol),
                      variant=f"{solver}, tol {tol:g}")
                for solver, tol in (("lbfgs", 1e-4), ("newton-cg", 1e-4))
            ),
        ],
        check,
        {"shape": x.shape, "folds": 5, "repeats": repeats, "penalties": number},
        "largest difference of a score",
        rounds=3,
        headline=f"Cross-validation of softmax regression, digits, {fits} fits",
    )  # fmt: skip


TASKS = (learning_rates, small_models, cross_validation)

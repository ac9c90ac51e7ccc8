"""What does each layer of a network know? Linear probes of the layers of a small one.

``python -m jaxlinear.examples.layers [picture.png]`` trains a network of three hidden layers to
tell the ten kinds of clothes of the embedded images apart, probes every layer for four concepts
that it was not asked for, and draws how well they can be read off, beside labels at random
(Hewitt and Liang, "Designing and interpreting probes with control tasks", 2019).
"""

import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import jaxlinear as jl

CONCEPTS = {  # by the kinds of clothes, of which 0 … 9 are the labels
    "worn on the feet": (5, 7, 9),
    "has long sleeves": (2, 4, 6),
    "covers the ankle": (1, 9),
    "shirt": (6,),
}
LAYERS = ("pixels", "hidden 1", "hidden 2", "hidden 3")
_BATCH, _WIDTH = 128, 64


class Told(NamedTuple):
    """Accuracy of the network, and of every layer and concept the ROC AUC, and that by chance."""

    accuracy: jax.Array
    auc: jl.resample.Interval
    control: jax.Array


def network(key, widths):
    """Layers (w, b) with random weights, of the variance that keeps activations as large."""
    keys = jax.random.split(key, len(widths) - 1)
    return [
        jl.Linear(jax.random.normal(key, (k, d)) * jnp.sqrt(2 / d), jnp.zeros(k))
        for key, d, k in zip(keys, widths[:-1], widths[1:], strict=True)
    ]


def activations(layers, x):
    """The hidden layers (n, width) of images, and the outputs (n, 10)."""
    hidden = []
    for layer in layers[:-1]:
        x = jax.nn.relu(jl.predict(layer, x))
        hidden.append(x)
    return hidden, jl.predict(layers[-1], x)


@jax.jit
def train(layers, x, y, keys):
    """An epoch of Adam for every key, as a scan of steps."""
    optimizer = optax.adam(1e-3)

    def loss(layers, rows):
        _, o = activations(layers, x[rows])
        return jax.vmap(jl.losses.softmax_cross_entropy)(o, y[rows]).mean()

    def step(state, rows):
        layers, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(layers, rows), moments)
        return (optax.apply_updates(layers, updates), moments), None

    def epoch(state, key):
        order = jax.random.permutation(key, len(x))
        order = order[: len(x) // _BATCH * _BATCH]
        return jax.lax.scan(step, state, order.reshape(-1, _BATCH))

    (layers, _), _ = jax.lax.scan(epoch, (layers, optimizer.init(layers)), keys)
    return layers


def probe(x, y, held_out, key, l2s=(1e-1, 1e-2, 1e-3)):
    """The ROC AUC (layers, concepts) on rows that were held out, and that of labels at random.

    Labels at random are concepts like the others: all are probed in one program.
    """
    control_key, score_key = jax.random.split(key)
    every = jnp.concatenate([y, jl.probes.control_labels(control_key, y)], axis=1)
    found = jl.probes.of_layers(x, every, held_out, jnp.array(l2s))
    tested = {"key": score_key, "metrics": {"roc_auc": jl.metrics.roc_auc}, "samples": 200}
    scores = [jl.probes.scores(found[name].outputs, every, **tested)["roc_auc"] for name in x]
    auc = jax.tree.map(lambda *stacks: jnp.concatenate(stacks), *scores)
    k = y.shape[1]
    return jax.tree.map(lambda part: part[:, :k], auc), auc.value[:, k:]


def run(rows: int = 6000, epochs: int = 10) -> Told:
    """Train on ``rows`` images, and probe the layers on the test images and as many others."""
    data, key = jl.data.fashion_mnist_sample(), jax.random.key(0)
    first, order, last = jax.random.split(key, 3)
    x, y = data.train.x[:rows] / 255.0, data.train.y[:rows]
    layers = train(network(first, (784, *[_WIDTH] * 3, 10)), x, y, jax.random.split(order, epochs))

    images, kinds = data.test.x / 255.0, data.test.y  # that the network has not seen
    hidden, o = activations(layers, images)
    concepts = jnp.stack([jnp.isin(kinds, jnp.array(of)) for of in CONCEPTS.values()], axis=1)
    stacks = {"pixels": images[None], "hidden": jnp.stack(hidden)}
    held_out = jnp.arange(len(images)) % 2 == 1
    auc, control = probe(stacks, 1.0 * concepts, held_out, last)
    return Told(jl.metrics.accuracy(o, kinds), auc, control)


def main(path: str = "layers.png") -> None:
    """Print and draw what ``run`` finds."""
    told = run()
    print(f"The network is right about {told.accuracy:.1%} of images that it has not seen.")
    print(f"{'ROC AUC':<10}" + "".join(f"{name:>25}" for name in CONCEPTS))
    for name, *parts in zip(LAYERS, *told.auc, strict=True):
        numbers = (f"{v:.3f} ({a:.3f} … {b:.3f})" for v, a, b in zip(*parts, strict=True))
        print(f"{name:<10}" + "".join(f"{text:>25}" for text in numbers))
    figure = jl.plots.scores_by_layer(
        told.auc, LAYERS, list(CONCEPTS), name="ROC AUC", control=told.control
    )
    jl.plots.save(figure, path)
    print(f"Saved {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])

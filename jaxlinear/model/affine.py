"""The linear model o = w x + b, written for one example and batched by ``vmap``.

Linear regression, logistic and softmax regression, a one-layer network and a dense layer are
all this ``affine``, with different losses.
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from jaxlinear import checks
from jaxlinear.model.families import BERNOULLI, MULTINOMIAL
from jaxlinear.types import Linear

_BYTE = 1 / 255


def zeros(features: int, outputs: int | None = None, dtype=None) -> Linear:
    """Parameters that are all zero: w (d,) and b (), or w (k, d) and b (k,) for k ``outputs``."""
    shape = () if outputs is None else (outputs,)
    return Linear(jnp.zeros((*shape, features), dtype), jnp.zeros(shape, dtype))


def normal(
    features: int,
    outputs: int | None = None,
    *,
    key: PRNGKeyArray,
    sigma: float = 0.01,
    dtype=None,
) -> Linear:
    """Weights drawn from N(0, sigma²) and a zero bias, as in d2l 3.4 and 4.4."""
    params = zeros(features, outputs, dtype)
    noise = jax.random.normal(key, params.w.shape, params.w.dtype)
    return params._replace(w=(sigma * noise).astype(params.w.dtype))


def affine(params: Linear, x: Shaped[ArrayLike, " d"]) -> Float[Array, "*outputs"]:
    """o = w x + b for ONE example; uint8 input is a byte image and is scaled to [0, 1].

    Equivalent to ``torch.nn.Linear`` and to ``flax.linen.Dense`` (whose kernel is wᵀ).

    >>> print(affine(Linear(jnp.array([2.0, -3.5]), jnp.array(4.0)), jnp.ones(2)))
    2.5
    """
    if x.dtype == jnp.uint8:
        # (w x) / 255 = w (x / 255): the outputs are the smallest array that can be scaled.
        scale = jnp.asarray(_BYTE, params.w.dtype)
        return (params.w @ x.astype(params.w.dtype)) * scale + params.b
    return params.w @ x + params.b


def predict(params: Linear, x) -> Float[Array, "n *outputs"]:
    """The outputs o = w x + b of every row of ``x`` (n, d): predictions, logits or log rates.

    Equivalent to scikit-learn's ``predict`` of a regression and ``decision_function`` of a
    classifier. Raises ValueError where x is not (n, d) or holds NaN or inf; under ``jit`` such
    rows give NaN.

    >>> predict(zeros(784, 10), jnp.ones((5, 784))).shape
    (5, 10)
    """
    params = Linear(*(checks.numeric(leaf, "params") for leaf in params))
    x = checks.finite(x, width=params.w.shape[-1])
    return jax.vmap(affine, (None, 0))(params, x)


def probabilities(params: Linear, x, *, independent: bool = False) -> Float[Array, "n *outputs"]:
    """The probabilities, of the shape of the outputs: softmax over k ≥ 2, sigmoid of one.

    One output, (n,) or (n, 1), is the logit of class 1. ``independent=True`` takes the sigmoid of
    each of k outputs: k labels that do not exclude each other. An output of -inf gives its class
    the probability 0. Equivalent to scikit-learn's ``predict_proba``.
    """
    o = predict(params, x)
    one = o.ndim == 1 or o.shape[1] == 1
    return BERNOULLI.mean(o) if one or independent else MULTINOMIAL.mean(o)


def labels(params: Linear, x, *, independent: bool = False) -> Int[Array, "n *k"]:
    """The most probable class of every row (n,): the largest of k outputs, or o > 0 for one.

    One output is (n,) or (n, 1). ``independent=True`` decides k labels (n, k), o > 0 for each.
    Under ``jit`` a row with NaN or inf, or with outputs that determine no class, has label -1.
    Equivalent to scikit-learn's ``predict`` of a classifier, with classes 0 … k-1.
    """
    x = checks.features(x)
    decided = jax.vmap(functools.partial(decide, independent=independent))(predict(params, x))
    finite = jnp.isfinite(x).all(axis=1).reshape(-1, *[1] * (decided.ndim - 1))
    return jnp.where(finite, decided, -1)


def decide(o: Float[Array, "*k"], independent: bool = False) -> Int[Array, "*labels"]:
    """The class that the outputs of ONE example predict; -1 where they determine none.

    One output, () or (1,), predicts 1 where it is positive, else 0. k outputs predict the class of
    the largest, or, where they are ``independent``, k labels, each from its own output.
    """
    if independent and o.ndim:
        return jax.vmap(decide)(o)
    if o.size == 1:
        o = o.reshape(())
        best, decided = o > 0, ~jnp.isnan(o)
    else:
        best, decided = jnp.argmax(o), jnp.isfinite(jnp.max(o))  # others may be -inf: ruled out
    return jnp.where(decided, best, -1).astype(jnp.int32)

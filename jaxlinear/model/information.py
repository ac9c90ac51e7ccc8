"""Information theory: entropies and divergences of distributions (d2l 4.1 and appendix).

Distributions lie along the last axis; leading axes are kept. ``base=math.e`` gives nats and
``base=2`` bits. An outcome of probability 0 contributes 0 (0 log 0 = 0), with a gradient of 0.
Whole numbers and booleans, as in a one-hot vector, are probabilities 0 and 1.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks

__all__ = ["cross_entropy", "entropy", "kl_divergence", "mutual_information", "perplexity"]

Distribution = Shaped[ArrayLike, "..."] | list  # (…, k), of any real numbers
Value = Float[Array, "*batch"]


def entropy(p: Distribution, base: float | int = math.e) -> Value:
    """H(P) = −Σ_k p_k log p_k, between 0 and log k. ``scipy.stats.entropy(p, base=base)``.

    Raises ValueError where ``p`` is not a distribution: not ≥ 0, or not of sum 1.

    >>> print(entropy([0.5, 0.25, 0.25], base=2))
    1.5
    """
    return cross_entropy(p, p, base)


def cross_entropy(p: Distribution, q: Distribution, base: float | int = math.e) -> Value:
    """H(P, Q) = −Σ_k p_k log q_k ≥ H(P), with equality at Q = P; inf where p_k > 0 = q_k.

    It takes probabilities; for logits use ``losses.softmax_cross_entropy``.

    >>> print(cross_entropy([1.0, 0.0], [0.25, 0.75], base=2))
    2.0
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    checks.same_shape(p, q)
    return _surprise(p, q) / math.log(base)


def kl_divergence(p: Distribution, q: Distribution, base: float | int = math.e) -> Value:
    """D(P ‖ Q) = Σ_k p_k log(p_k / q_k) = H(P, Q) − H(P) ≥ 0, and 0 at Q = P.

    It is computed as Σ_k p_k log(p_k / q_k) − p_k + q_k, which is the same since p and q sum to 1.
    No term is negative, so that small divergences are accurate, where entropies would cancel.
    ``scipy.stats.entropy(p, q, base=base)``; torch's ``KLDivLoss`` takes log q and q first.
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    checks.same_shape(p, q)
    return _divergence(p, q) / math.log(base)


def mutual_information(joint: Shaped[ArrayLike, "..."] | list, base: float | int = math.e) -> Value:
    """I(X; Y) = D(p(x, y) ‖ p(x) p(y)) ≥ 0 of a joint table over the last two axes.

    It is H(X) + H(Y) − H(X, Y), and 0 where X and Y are independent. For a table of counts divided
    by their sum it is ``sklearn.metrics.mutual_info_score``.
    """
    joint = checks.numeric(joint, "joint")
    if joint.ndim < 2:
        raise ValueError(f"joint has shape {joint.shape}; expected (…, k, l), a table p(x, y).")
    flat = _distribution(joint.reshape(*joint.shape[:-2], -1), "joint")
    wide = _wide(flat).reshape(joint.shape)
    product = wide.sum(-1, keepdims=True) * wide.sum(-2, keepdims=True)
    value = _divergence(flat, product.reshape(flat.shape)) / math.log(base)
    return value.astype(flat.dtype)


def perplexity(p: Distribution, q: Distribution | None = None) -> Value:
    """exp H(P, Q) with H in nats, or exp H(P) without Q: the number of equally likely outcomes.

    >>> print(perplexity([0.125] * 8).round(3))
    8.0
    """
    return jnp.exp(cross_entropy(p, p if q is None else q))


def _surprise(p, q):
    """−Σ_k p_k log q_k with 0 log 0 = 0: both wheres are needed, or the gradient is NaN."""
    dtype, p, q = jnp.result_type(p, q), _wide(p), _wide(q)
    possible = (p != 0) | ~(q >= 0)
    terms = jnp.where(possible, -p * jnp.log(jnp.where(possible, q, 1)), 0)
    return jnp.sum(terms, axis=-1).astype(dtype)


def _divergence(p, q):
    """Σ_k p_k log(p_k / q_k) − p_k + q_k, with the gradient of Σ_k p_k log(p_k / q_k).

    Terms that rounding makes negative are set to 0 in the value, but not in the gradient.
    """
    dtype, p, q = jnp.result_type(p, q), _wide(p), _wide(q)
    terms = p * _log_ratio(p, q)
    terms = terms - jax.lax.stop_gradient(jnp.minimum(p - q, terms))
    return jnp.sum(terms, axis=-1).astype(dtype)


def _log_ratio(p, q):
    """log(p / q), with a small relative error also where p is near q; 0 where p is 0."""
    near = jnp.abs(p - q) < q / 2
    far = ((p != 0) | ~(q >= 0)) & ~near
    change = jnp.where(near, p - q, 0) / jnp.where(near, q, 1)
    return jnp.log1p(change) + jnp.log(jnp.where(far, p, 1)) - jnp.log(jnp.where(far, q, 1))


def _wide(p):
    """In float32 at least: half precision can hold probabilities, but is too coarse for sums."""
    return p.astype(jnp.promote_types(p.dtype, jnp.float32))


def _distribution(p, name: str):
    p = jnp.asarray(checks.numeric(p, name))
    p = p.astype(jnp.result_type(p, float))
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"{name} has shape {p.shape}; expected (…, k), k ≥ 1 outcomes.")
    if checks.is_known(p):
        host = np.asarray(p)
        if not checks.is_distribution(host, np).all():
            raise ValueError(
                f"{name} is not a distribution: expected numbers ≥ 0 whose sum is 1 along the "
                f"last axis, got sums {host.sum(-1).ravel()[:3]}. Divide by its sum."
            )
    return p

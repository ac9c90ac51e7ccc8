"""Information theory: how surprising, and how wrong, a distribution is (d2l 4.1 and appendix).

Distributions lie along the last axis; leading axes are kept. ``base=math.e`` gives nats and
``base=2`` bits. An outcome of probability 0 contributes 0 (0 log 0 = 0), with a gradient of 0.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxlinear import _checks

Distribution = Float[ArrayLike, "*batch k"] | list
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

    Of probabilities; for logits use ``losses.softmax_cross_entropy``.

    >>> print(cross_entropy([1.0, 0.0], [0.25, 0.75], base=2))
    2.0
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    _checks.same_shape(p, q)
    return -_expected_log(p, q) / math.log(base)


def kl_divergence(p: Distribution, q: Distribution, base: float | int = math.e) -> Value:
    """D(P ‖ Q) = Σ_k p_k log(p_k / q_k) = H(P, Q) − H(P) ≥ 0, and 0 at Q = P.

    ``scipy.stats.entropy(p, q, base=base)``; torch's ``KLDivLoss`` takes log q and q first.
    """
    p, q = _distribution(p, "p"), _distribution(q, "q")
    _checks.same_shape(p, q)
    return (_expected_log(p, p) - _expected_log(p, q)) / math.log(base)


def mutual_information(
    joint: Float[ArrayLike, "*batch k l"] | list, base: float | int = math.e
) -> Value:
    """I(X; Y) = H(X) + H(Y) − H(X, Y) of a joint table p(x, y) over the last two axes.

    0 where X and Y are independent; ``sklearn.metrics.mutual_info_score`` of a table of counts.
    """
    joint = jnp.asarray(joint)
    flat = joint.reshape(*joint.shape[:-2], -1)
    return entropy(joint.sum(-1), base) + entropy(joint.sum(-2), base) - entropy(flat, base)


def perplexity(p: Distribution, q: Distribution | None = None) -> Value:
    """exp H(P, Q) with H in nats, or exp H(P) without Q: the number of equally likely outcomes.

    >>> print(perplexity([0.125] * 8).round(3))
    8.0
    """
    return jnp.exp(cross_entropy(p, p if q is None else q))


def _expected_log(p, q):
    """Σ_k p_k log q_k with 0 log 0 = 0: both wheres are needed, or the gradient is NaN."""
    possible = p != 0
    return jnp.sum(jnp.where(possible, p * jnp.log(jnp.where(possible, q, 1)), 0), axis=-1)


def _distribution(p, name: str):
    p = jnp.asarray(
        _checks.numeric(p, name), jnp.result_type(float) if isinstance(p, list) else None
    )
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"{name} has shape {p.shape}; expected (…, k), k ≥ 1 outcomes.")
    if not _checks.is_traced(p):
        host = np.asarray(p)
        if not _checks.is_distribution(host, np).all():
            raise ValueError(
                f"{name} is not a distribution: expected numbers ≥ 0 whose sum is 1 along the "
                f"last axis, got sums {host.sum(-1).ravel()[:3]}. Divide by its sum."
            )
    return p

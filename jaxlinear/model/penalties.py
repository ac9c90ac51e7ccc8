"""Penalties on the weights w alone: the bias is never penalised."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

__all__ = ["l2"]


def l2(w: Float[ArrayLike, "*outputs d"], strength: Float[ArrayLike, "..."]) -> Float[Array, ""]:
    """½ Σ_k strength_k ‖w_k‖²; ``strength`` is one number, or (k,) one per output.

    Weight decay (d2l 3.7). Against scikit-learn: ``Ridge(alpha=n * strength)`` and
    ``LogisticRegression(C=1 / (n * strength))``; torch's ``weight_decay`` on w alone.
    """
    return 0.5 * jnp.sum(strength * jnp.sum(jnp.square(w), axis=-1))

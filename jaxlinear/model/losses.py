"""Losses of ONE example, unreduced: ``loss(o, y) -> ()``, with o the outputs of the model.

``vmap`` applies them to batches (see ``objective.mean_loss``) and derivatives come from
``jax.grad``. Values are in nats. For k outputs a loss is the sum over outputs. ``@target("…")``
declares which targets a loss accepts, so that an error names invalid ones before a fit starts;
a loss without it accepts any finite target. Losses are computed in float32 at least, also from
integers, booleans and half precision: see ``in_floats``.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks
from jaxlinear.model.affine import decide
from jaxlinear.model.declaration import (
    family,
    family_of,
    in_floats,
    is_kinked,
    is_separable,
    kinked,
    separable,
    target,
    target_of,
)
from jaxlinear.model.families import BERNOULLI, GAMMA, GAUSSIAN, MULTINOMIAL, POISSON, Family

__all__ = [
    "Family",
    "absolute",
    "family",
    "family_of",
    "gamma",
    "hinge",
    "huber",
    "in_floats",
    "is_kinked",
    "is_separable",
    "kinked",
    "logistic",
    "poisson",
    "quantile",
    "separable",
    "smooth_quantile",
    "softmax_cross_entropy",
    "squared_error",
    "squared_hinge",
    "target",
    "target_of",
    "zero_one",
]

Outputs = Shaped[ArrayLike, "*outputs"]
Target = Shaped[ArrayLike, "..."]
Number = Float[ArrayLike, ""]
Value = Float[Array, ""]


def _times(share, value):
    """share · value, where 0 · ∞ = 0; its derivatives are those of the product elsewhere."""
    return share * jnp.where((share == 0) & jnp.isinf(value), 0, value)


@separable
@family(GAUSSIAN)
@in_floats
def squared_error(o: Outputs, y: Target) -> Value:
    """½ Σ_k (o_k − y_k)².

    ``optax.l2_loss`` summed over outputs; half of scikit-learn's squared error; torch's
    ``MSELoss`` has no ½ and averages over outputs too (d2l 3.1).

    >>> print(squared_error(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])))
    2.5
    """
    o, y = checks.like(o, y)
    return jnp.sum(0.5 * jnp.square(o - y))


@family(MULTINOMIAL)
@target("labels")
@in_floats
def softmax_cross_entropy(o: Outputs, y: Target, label_smoothing: Number = 0.0) -> Value:
    """−Σ_k q_k log softmax(o)_k, in nats; q is the one-hot vector of a label or y itself.

    ``y`` is an integer label () or a distribution (k,). Smoothing mixes in the uniform
    distribution: q ← (1 − α) q + α / k. A label outside 0 … k-1 gives NaN.
    An output of -inf rules its class out: it adds nothing, and if y is that class the loss is inf.
    Equivalent to ``torch.nn.CrossEntropyLoss(reduction="none")`` and to
    ``optax.softmax_cross_entropy(_with_integer_labels)`` (d2l 4.1).

    >>> o = jnp.log(jnp.array([0.25, 0.5, 0.25]))
    >>> print(jnp.exp(-softmax_cross_entropy(o, 1)))
    0.5
    >>> print(jax.grad(softmax_cross_entropy)(o, 1))  # softmax(o) − onehot(y)
    [ 0.25 -0.5   0.25]
    """
    if o.ndim != 1:
        raise ValueError(
            f"the outputs have shape {o.shape}; expected (k,), the logits of ONE example: use "
            "jax.vmap, or mean_loss, for a batch."
        )
    k = len(o)
    if k == 1:
        raise ValueError(
            "the outputs have shape (1,); expected (k,), k ≥ 2: the softmax of one output is 1. "
            "One output is one logit: use the logistic loss, with y in [0, 1]."
        )
    if y.ndim == 0 and not jnp.issubdtype(y.dtype, jnp.floating):
        # A product with the one-hot vector: the gradient of an index is a scatter, slow on CPU.
        y = _wide(y)
        q = jnp.where((y >= 0) & (y < k), y == jnp.arange(k), jnp.nan)
    else:
        q = y
    o, q = checks.like(o, q)
    q = (1 - label_smoothing) * q + label_smoothing / k
    away = o - jax.lax.stop_gradient(jnp.max(o))  # so that no exponential overflows
    return jnp.sum(q) * jnp.log(jnp.sum(jnp.exp(away))) - jnp.sum(_times(q, away))


@separable
@family(BERNOULLI)
@target("probabilities")
@in_floats
def logistic(o: Outputs, y: Target) -> Value:
    """−Σ_k [y_k log σ(o_k) + (1 − y_k) log σ(−o_k)], in nats, for y in [0, 1].

    k outputs are k independent labels. It is the sum of log(1 + exp(−|o|)) and a positive term, so
    nothing cancels at large logits. Equivalent to ``optax.sigmoid_binary_cross_entropy`` and to
    torch's ``BCEWithLogitsLoss(reduction="none")``, summed over outputs.
    """
    o, y = checks.like(o, y)
    # log(1 + exp(−|o|)), with |o| as ±o: its first and second derivatives at 0 are right.
    positive = o >= 0
    size = jnp.where(positive, 1, -1).astype(o.dtype) * o
    return jnp.sum(jnp.log1p(jnp.exp(-size)) + _times(jnp.where(positive, 1 - y, y), size))


@separable
@family(POISSON)
@target("counts")
@in_floats
def poisson(o: Outputs, y: Target) -> Value:
    """Σ_k exp(o_k) − y_k o_k: the Poisson likelihood with log link, y ≥ 0, without log y!.

    Half of scikit-learn's Poisson deviance up to a constant; torch's
    ``PoissonNLLLoss(log_input=True)``. Overflows to inf where exp(o) does.
    """
    o, y = checks.like(o, y)
    return jnp.sum(jnp.exp(o) - _times(y, o))


@separable
@family(GAMMA)
@target("positive")
@in_floats
def gamma(o: Outputs, y: Target) -> Value:
    """Σ_k y_k exp(−o_k) + o_k: the gamma likelihood of unit shape with log link, y > 0.

    Half of scikit-learn's gamma deviance up to a constant.
    """
    o, y = checks.like(o, y)
    return jnp.sum(y * jnp.exp(-o) + o)


@separable
@in_floats
def huber(o: Outputs, y: Target, delta: Number = 1.0) -> Value:
    """Σ_k ½ r² where |r| ≤ δ and δ (|r| − ½ δ) beyond, with r = o_k − y_k.

    ``optax.huber_loss`` and torch's ``HuberLoss``, summed over outputs (Huber, 1964).
    """
    o, y = checks.like(o, y)
    residual = o - y
    size = jnp.abs(residual)
    # One formula or the other: in a sum of both, the slope of a small residual is lost beside δ.
    outside = delta * (size - 0.5 * delta)
    return jnp.sum(jnp.where(size <= delta, 0.5 * jnp.square(residual), outside))


@kinked
@in_floats
def absolute(o: Outputs, y: Target) -> Value:
    """Σ_k |o_k − y_k|; its minimiser is the conditional median. torch's ``L1Loss``."""
    o, y = checks.like(o, y)
    return jnp.sum(jnp.abs(o - y))


@kinked
@in_floats
def quantile(o: Outputs, y: Target, q: Number = 0.5) -> Value:
    """Σ_k max(q r, (q − 1) r) with r = y_k − o_k: the pinball loss of the quantile q in (0, 1).

    scikit-learn's ``mean_pinball_loss`` of one example (Koenker and Bassett, 1978).
    """
    o, y = checks.like(o, y)
    residual = y - o
    return jnp.sum(jnp.maximum(q * residual, (q - 1) * residual))


@separable
@in_floats
def smooth_quantile(o: Outputs, y: Target, q: Number = 0.5, bandwidth: Number = 0.1) -> Value:
    """Σ_k q r + h log(1 + exp(−r / h)) with r = y_k − o_k: ``quantile``, without its kink.

    The mean of the pinball loss over logistic noise of scale h, the ``bandwidth``, in the units
    of y; it exceeds the pinball loss by at most h log 2. ``quantile`` has no curvature for
    Newton's method; this loss has, and the derivatives and standard errors of its optimum exist;
    its bias is of order h² (He et al., "Smoothed quantile regression with large-scale inference",
    2023).

    >>> print(quantile(2.0, 3.0, 0.9), smooth_quantile(2.0, 3.0, 0.9).round(4))
    0.9 0.9
    """
    o, y = checks.like(o, y)
    residual = y - o
    return jnp.sum(q * residual + bandwidth * jax.nn.softplus(-residual / bandwidth))


@kinked
@in_floats
def zero_one(o: Outputs, y: Target, independent: bool = False) -> Value:
    """1 for a wrong predicted class, else 0; ``sklearn.metrics.zero_one_loss`` of one example.

    o (k,) predicts the class of its largest entry; y is a label, or a distribution (k,) whose
    largest entry is the true class. A single logit, () or (1,), predicts 1 where it is positive;
    y in [0, 1] is then the probability of 1, and the true class is 1 where y > ½.
    ``independent=True`` takes k single logits, and the mean over them. NaN where the outputs
    determine no class, or y is not a valid target. It has no gradient: use it for scores.

    >>> print(zero_one(jnp.array([0.1, 0.9]), 1), zero_one(-2.0, 1.0))
    0.0 1.0
    """
    if independent and o.ndim:
        return jnp.mean(jax.vmap(zero_one)(*checks.like(o, y)))
    decided, true = decide(o), _class_of(y, o.size)
    return jnp.where((decided < 0) | (true < 0), jnp.nan, decided != true)


def _class_of(y, k: int):
    """The true class of a target for k outputs; -1 where the target is not valid."""
    if k == 1:
        y = y.reshape(())
        return jnp.where((y >= 0) & (y <= 1), y > 0.5, -1)
    if y.ndim:
        return jnp.where(checks.is_distribution(y, jnp), jnp.argmax(y), -1)
    y = _wide(y)
    return jnp.where((y >= 0) & (y < k) & (y == jnp.floor(y)), y, -1)


def _wide(label):
    """A label in 32 bits at least: uint8 cannot hold -1, nor be compared with 1,000."""
    return label.astype(jnp.promote_types(label.dtype, jnp.int32))


@kinked
@target("signs")
@in_floats
def hinge(o: Outputs, y: Target) -> Value:
    """Σ_k max(0, 1 − y_k o_k) for y in {−1, 1}; ``optax.hinge_loss``."""
    o, y = checks.like(o, y)
    return jnp.sum(jnp.maximum(0, 1 - y * o))


@separable
@target("signs")
@in_floats
def squared_hinge(o: Outputs, y: Target) -> Value:
    """Σ_k max(0, 1 − y_k o_k)² for y in {−1, 1}; the default loss of scikit-learn's LinearSVC."""
    o, y = checks.like(o, y)
    return jnp.sum(jnp.square(jnp.maximum(0, 1 - y * o)))

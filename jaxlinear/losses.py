"""Losses of ONE example, unreduced: ``loss(o, y) -> ()``, with o the outputs of the model.

Batches meet them under ``vmap`` (see ``objective.mean_loss``) and derivatives come from
``jax.grad``. Values are in nats. For k outputs a loss is the sum over outputs. ``@target("…")``
says which targets a loss accepts, so that wrong ones are refused by name before a fit starts;
a loss without it accepts any finite target. Integers, booleans and half precision go in as the
numbers that they are: see ``in_floats``.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear._checks import is_distribution, like
from jaxlinear.models import decide

Outputs = Shaped[ArrayLike, "*outputs"]
Target = Shaped[ArrayLike, "..."]
Number = Float[ArrayLike, ""]
Value = Float[Array, ""]


def target(kind: str) -> Callable:
    """Declare the targets that a loss accepts; ``_checks.TARGETS`` lists the kinds."""

    def declare(loss: Callable) -> Callable:
        loss.target = kind
        return loss

    return declare


def in_floats(loss: Callable) -> Callable:
    """Compute a loss in floating point, in float32 at least, and return it in the dtype of o."""

    @functools.wraps(loss)
    def compute(o, y, *options, **named):
        o = jnp.asarray(o)
        dtype = jnp.result_type(o, float)
        wide = jnp.promote_types(dtype, jnp.float32)
        return loss(o.astype(wide), jnp.asarray(y), *options, **named).astype(dtype)

    return compute


def separable(loss: Callable) -> Callable:
    """Declare that the loss of k outputs is a sum over outputs: k models that share x."""
    loss.separable = True
    return loss


def kinked(loss: Callable) -> Callable:
    """Declare that the loss has no second derivative to speak of: for SGD, not for Newton."""
    loss.kinked = True
    return loss


class Family(NamedTuple):
    """The density that a loss stands for: f(y; o) = f(y; ô) exp((least(y) − loss(o, y)) / φ).

    ``least(y)`` is the loss at the best outputs ô for y alone, ``log_density(y, phi)`` is
    log f(y; ô). ``link(mean)`` are the outputs at which the mean loss is least where they are the
    same for all examples, from the mean of y (of one-hot vectors for labels), where a solver then
    starts; None where that is not known. ``dispersion`` is φ
    where it is known, else None. ``information(o)`` is the expected second derivative of the loss,
    or None where it does not depend on y: with the canonical link.
    """

    least: Callable
    log_density: Callable
    dispersion: float | None = None
    information: Callable | None = None
    link: Callable | None = None


def family(of: Family) -> Callable:
    """Declare the likelihood of a loss, from which deviances and standard errors are taken."""

    def declare(loss: Callable) -> Callable:
        loss.family = of
        return loss

    return declare


def family_of(loss: Callable) -> Family | None:
    """The likelihood that is known of ``loss``."""
    return _declared(loss, "family", None)


def _entropy(q):
    return -jnp.sum(xlogy(q, q))


def _entropy_of_labels(y):
    return _entropy(y) if jnp.issubdtype(y.dtype, jnp.floating) else jnp.zeros(())


def _binary_entropy(y):
    return _entropy(y) + _entropy(1 - y)


def _least_of_poisson(y):
    return jnp.sum(y - xlogy(y, y))


def _log_gamma_density(y, phi):
    return jnp.sum((jnp.log(1 / phi) - 1) / phi - gammaln(1 / phi) - jnp.log(y))


def _log_shares(p):
    # A class that no example has gets the least that counts beside 1.
    return jnp.log(jnp.maximum(p, jnp.finfo(p.dtype).eps))


def _logit(p):
    return jnp.log(p) - jnp.log1p(-p)


_GAUSSIAN = Family(
    lambda y: jnp.zeros_like(jnp.sum(y)),
    lambda y, phi: -0.5 * jnp.size(y) * jnp.log(2 * jnp.pi * phi),
    link=lambda mean: mean,
)
_MULTINOMIAL = Family(
    _entropy_of_labels, lambda y, phi: -_entropy_of_labels(y), 1.0, link=_log_shares
)
_BERNOULLI = Family(_binary_entropy, lambda y, phi: -_binary_entropy(y), 1.0, link=_logit)
_POISSON = Family(
    _least_of_poisson,
    lambda y, phi: -_least_of_poisson(y) - jnp.sum(gammaln(y + 1)),
    1.0,
    link=jnp.log,
)
_GAMMA = Family(
    lambda y: jnp.sum(1 + jnp.log(y)), _log_gamma_density, None, jnp.ones_like, link=jnp.log
)


def _times(share, value):
    """share · value, where 0 · ∞ = 0; its derivatives are those of the product elsewhere."""
    return share * jnp.where((share == 0) & jnp.isinf(value), 0, value)


def target_of(loss: Callable) -> str:
    """The kind of targets that ``loss`` accepts, seen through ``functools.partial``."""
    return _declared(loss, "target", "real")


def is_separable(loss: Callable) -> bool:
    """Whether the loss of k outputs is known to be a sum over outputs."""
    return _declared(loss, "separable", False)


def is_kinked(loss: Callable) -> bool:
    """Whether the loss is known to have kinks."""
    return _declared(loss, "kinked", False)


def _declared(loss: Callable, name: str, otherwise):
    while isinstance(loss, functools.partial):
        loss = loss.func
    return getattr(loss, name, otherwise)


@separable
@family(_GAUSSIAN)
@in_floats
def squared_error(o: Outputs, y: Target) -> Value:
    """½ Σ_k (o_k − y_k)².

    ``optax.l2_loss`` summed over outputs; half of scikit-learn's squared error; torch's
    ``MSELoss`` has no ½ and averages over outputs too (d2l 3.1).

    >>> print(squared_error(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])))
    2.5
    """
    o, y = like(o, y)
    return jnp.sum(0.5 * jnp.square(o - y))


@family(_MULTINOMIAL)
@target("labels")
@in_floats
def softmax_cross_entropy(o: Outputs, y: Target, label_smoothing: Number = 0.0) -> Value:
    """−Σ_k q_k log softmax(o)_k, in nats; q is the one-hot vector of a label or y itself.

    ``y`` is an integer label () or a distribution (k,). Smoothing mixes in the uniform
    distribution: q ← (1 − α) q + α / k. A label outside 0 … k-1 gives NaN, never a number.
    An output of -inf rules its class out: it adds nothing, and where it is y the loss is inf.
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
    o, q = like(o, q)
    q = (1 - label_smoothing) * q + label_smoothing / k
    away = o - jax.lax.stop_gradient(jnp.max(o))  # so that no exponential overflows
    return jnp.sum(q) * jnp.log(jnp.sum(jnp.exp(away))) - jnp.sum(_times(q, away))


@separable
@family(_BERNOULLI)
@target("probabilities")
@in_floats
def logistic(o: Outputs, y: Target) -> Value:
    """−Σ_k [y_k log σ(o_k) + (1 − y_k) log σ(−o_k)], in nats, for y in [0, 1].

    k outputs are k independent labels. It is the sum of log(1 + exp(−|o|)) and a positive term, so
    nothing cancels at large logits. Equivalent to ``optax.sigmoid_binary_cross_entropy`` and to
    torch's ``BCEWithLogitsLoss(reduction="none")``, summed over outputs.
    """
    o, y = like(o, y)
    # log(1 + exp(−|o|)), with |o| as a product: it has both derivatives at 0.
    positive = o >= 0
    size = jnp.where(positive, 1, -1).astype(o.dtype) * o
    return jnp.sum(jnp.log1p(jnp.exp(-size)) + _times(jnp.where(positive, 1 - y, y), size))


@separable
@family(_POISSON)
@target("counts")
@in_floats
def poisson(o: Outputs, y: Target) -> Value:
    """Σ_k exp(o_k) − y_k o_k: the Poisson likelihood with log link, y ≥ 0, without log y!.

    Half of scikit-learn's Poisson deviance up to a constant; torch's
    ``PoissonNLLLoss(log_input=True)``. Overflows to inf where exp(o) does.
    """
    o, y = like(o, y)
    return jnp.sum(jnp.exp(o) - _times(y, o))


@separable
@family(_GAMMA)
@target("positive")
@in_floats
def gamma(o: Outputs, y: Target) -> Value:
    """Σ_k y_k exp(−o_k) + o_k: the gamma likelihood of unit shape with log link, y > 0.

    Half of scikit-learn's gamma deviance up to a constant.
    """
    o, y = like(o, y)
    return jnp.sum(y * jnp.exp(-o) + o)


@separable
@in_floats
def huber(o: Outputs, y: Target, delta: Number = 1.0) -> Value:
    """Σ_k ½ r² where |r| ≤ δ and δ (|r| − ½ δ) beyond, with r = o_k − y_k.

    ``optax.huber_loss`` and torch's ``HuberLoss``, summed over outputs (Huber, 1964).
    """
    o, y = like(o, y)
    residual = o - y
    size = jnp.abs(residual)
    # One formula or the other: in a sum of both, the slope of a small residual is lost beside δ.
    outside = delta * (size - 0.5 * delta)
    return jnp.sum(jnp.where(size <= delta, 0.5 * jnp.square(residual), outside))


@kinked
@in_floats
def absolute(o: Outputs, y: Target) -> Value:
    """Σ_k |o_k − y_k|; its minimiser is the conditional median. torch's ``L1Loss``."""
    o, y = like(o, y)
    return jnp.sum(jnp.abs(o - y))


@kinked
@in_floats
def quantile(o: Outputs, y: Target, q: Number = 0.5) -> Value:
    """Σ_k max(q r, (q − 1) r) with r = y_k − o_k: the pinball loss of the quantile q in (0, 1).

    scikit-learn's ``mean_pinball_loss`` of one example (Koenker and Bassett, 1978).
    """
    o, y = like(o, y)
    residual = y - o
    return jnp.sum(jnp.maximum(q * residual, (q - 1) * residual))


@separable
@in_floats
def smooth_quantile(o: Outputs, y: Target, q: Number = 0.5, bandwidth: Number = 0.1) -> Value:
    """Σ_k q r + h log(1 + exp(−r / h)) with r = y_k − o_k: ``quantile``, without its kink.

    The pinball loss in the mean over logistic noise of scale h, the ``bandwidth``, in the units
    of y; it is at most h log 2 above. The kink of ``quantile`` leaves nothing to Newton's method,
    and this has an optimum whose derivatives and standard errors exist; its bias is of order h²
    (He et al., "Smoothed quantile regression with large-scale inference", 2023).

    >>> print(quantile(2.0, 3.0, 0.9), smooth_quantile(2.0, 3.0, 0.9).round(4))
    0.9 0.9
    """
    o, y = like(o, y)
    residual = y - o
    return jnp.sum(q * residual + bandwidth * jax.nn.softplus(-residual / bandwidth))


@kinked
@in_floats
def zero_one(o: Outputs, y: Target, independent: bool = False) -> Value:
    """1 where the decision is wrong, else 0; ``sklearn.metrics.zero_one_loss`` of one example.

    o (k,) decides for its largest, against a label y or the largest of a distribution (k,); a
    single logit, () or (1,), decides for 1 where it is positive, against y in [0, 1], the
    probability of 1: against y > ½. ``independent=True`` takes k single logits, and the mean over
    them. NaN where the outputs decide for none, or y is no such target. No gradient: for scores.

    >>> print(zero_one(jnp.array([0.1, 0.9]), 1), zero_one(-2.0, 1.0))
    0.0 1.0
    """
    if independent and o.ndim:
        return jnp.mean(jax.vmap(zero_one)(*like(o, y)))
    decided, true = decide(o), _class_of(y, o.size)
    return jnp.where((decided < 0) | (true < 0), jnp.nan, decided != true)


def _class_of(y, k: int):
    """The class that a target of k outputs stands for; -1 where it stands for none."""
    if k == 1:
        y = y.reshape(())
        return jnp.where((y >= 0) & (y <= 1), y > 0.5, -1)
    if y.ndim:
        return jnp.where(is_distribution(y, jnp), jnp.argmax(y), -1)
    y = _wide(y)
    return jnp.where((y >= 0) & (y < k) & (y == jnp.floor(y)), y, -1)


def _wide(label):
    """A label in 32 bits at least: a byte is never -1, and cannot be compared with 1,000."""
    return label.astype(jnp.promote_types(label.dtype, jnp.int32))


@kinked
@target("signs")
@in_floats
def hinge(o: Outputs, y: Target) -> Value:
    """Σ_k max(0, 1 − y_k o_k) for y in {−1, 1}; ``optax.hinge_loss``."""
    o, y = like(o, y)
    return jnp.sum(jnp.maximum(0, 1 - y * o))


@separable
@target("signs")
@in_floats
def squared_hinge(o: Outputs, y: Target) -> Value:
    """Σ_k max(0, 1 − y_k o_k)² for y in {−1, 1}; the default loss of scikit-learn's LinearSVC."""
    o, y = like(o, y)
    return jnp.sum(jnp.square(jnp.maximum(0, 1 - y * o)))

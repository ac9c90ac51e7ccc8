"""``torch.nn.Linear`` and ``Linear``, by DLPack: one memory for both (the extra ``torch``).

Both are o = w x + b with w (k, d), so that nothing is transposed, and on one device nothing is
copied. What shares its memory is not to be changed in place: train a layer from ``to_torch`` only
where the parameters are not used any more, or of ``jax.tree.map(jnp.copy, params)``; and a layer
in training changes the parameters that ``from_torch`` made of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from jaxlinear.types import Fit, Linear

__all__ = ["from_torch", "to_torch"]


def to_torch(params: Linear | Fit) -> torch.nn.Linear:
    """The layer with these parameters, w (k, d), or (d,) for one output, which torch has as (1, d).

    Its ``weight`` and ``bias`` are where the parameters are, of their dtype. Raises ValueError for
    a stack of models.

    >>> layer = to_torch(Linear(jnp.array([[2.0, 1.0]]), jnp.array([0.5])))
    >>> print(layer.weight.tolist(), layer(torch.ones(3, 2)).tolist())
    [[2.0, 1.0]] [[3.5], [3.5], [3.5]]
    """
    w, b = params.params if isinstance(params, Fit) else params
    if w.ndim not in (1, 2) or b.shape != w.shape[:-1]:
        raise ValueError(
            f"params have w {w.shape} and b {b.shape}; expected one model, w (d,) or (k, d). Of a "
            "stack make a layer of each."
        )
    weight, bias = _tensor(w), _tensor(b)
    weight, bias = weight.reshape(-1, w.shape[-1]), bias.reshape(-1)  # views
    layer = torch.nn.Linear(*weight.shape[::-1], device="meta")  # draws nothing, takes no memory
    layer.weight, layer.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
    return layer


def from_torch(layer) -> Linear:
    """The parameters of a ``torch.nn.Linear``: w (k, d) and b (k,), 0 where it has no bias.

    w lies where ``layer.weight`` does, unless its dtype is one that JAX has not here: float64
    outside of ``jax.enable_x64(True)`` becomes float32, a copy. Raises TypeError for other layers.

    >>> layer = torch.nn.Linear(3, 2)
    >>> print(from_torch(layer).w.shape, from_torch(layer).b.shape)
    (2, 3) (2,)
    """
    if not isinstance(layer, torch.nn.Linear):
        raise TypeError(f"layer is a {type(layer).__name__}; expected torch.nn.Linear.")
    w = _array(layer.weight)
    b = jnp.zeros(len(w), w.dtype) if layer.bias is None else _array(layer.bias)
    return Linear(w, b)


def _tensor(leaf) -> torch.Tensor:
    """A tensor in the memory of an array, of JAX, or of NumPy where that can be written to."""
    if isinstance(leaf, jax.Array) or leaf.flags.writeable:
        return torch.from_dlpack(leaf)
    return torch.from_numpy(np.array(leaf))


def _array(tensor: torch.Tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.float64 and not jax.config.jax_enable_x64:
        tensor = tensor.to(torch.float32)
    return jnp.from_dlpack(tensor.contiguous())

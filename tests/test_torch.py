"""Layers of torch and parameters: the same numbers in the same memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear as jl

pytest.importorskip("torch")
import torch

from jaxlinear.torch import from_torch, to_torch


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_parameters_as_a_layer_lie_where_they_are(dtype):
    params = jl.Linear(jnp.arange(6, dtype=dtype).reshape(2, 3), jnp.ones(2, dtype))
    layer = to_torch(params)
    assert layer.weight.data_ptr() == params.w.unsafe_buffer_pointer()
    assert layer.bias.data_ptr() == params.b.unsafe_buffer_pointer()
    x = np.arange(6.0).reshape(2, 3)
    out = layer(torch.tensor(x, dtype=layer.weight.dtype)).detach().float().numpy()
    np.testing.assert_array_equal(out, jl.predict(params, jnp.asarray(x, dtype)))
    back = from_torch(layer)
    assert back.w.unsafe_buffer_pointer() == params.w.unsafe_buffer_pointer()
    layer(torch.ones(1, 3, dtype=layer.weight.dtype)).sum().backward()
    assert layer.weight.grad.shape == (2, 3)


def test_one_output_no_bias_and_double_precision():
    fit = jl.Fit(jl.Linear(np.arange(3.0), np.array(2.0)), None)
    layer = to_torch(fit)
    assert layer.weight.shape == (1, 3) and layer.weight.dtype == torch.float64
    assert from_torch(layer).w.dtype == jnp.float32
    with jax.enable_x64(True):
        assert from_torch(layer).w.dtype == jnp.float64
    plain = from_torch(torch.nn.Linear(3, 2, bias=False))
    assert plain.b.tolist() == [0, 0]
    params = jl.Linear(jax.device_get(jnp.ones((2, 3))), np.ones(2))  # which NumPy may not write to
    assert to_torch(params).weight.tolist() == np.ones((2, 3)).tolist()


def test_what_is_no_layer_is_named():
    with pytest.raises(TypeError, match="is a Conv1d; expected"):
        from_torch(torch.nn.Conv1d(1, 1, 1))
    with pytest.raises(ValueError, match="expected one model"):
        to_torch(jl.Linear(jnp.ones((2, 3, 4)), jnp.ones((2, 3))))

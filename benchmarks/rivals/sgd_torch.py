"""The rivals in torch, with the signature of ``rivals``: on the GPU where torch sees one."""

import numpy as np
import torch
from torch.nn import functional

from benchmarks.rivals.sgd import CLASSES, Data

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def on_torch(data: Data) -> Data:
    """As tensors, beforehand; torch wants labels of 64 bits and arrays that it may write."""
    x = torch.from_numpy(np.require(data.x, requirements="W"))
    return Data(x.to(DEVICE), torch.from_numpy(data.y.astype(np.int64)).to(DEVICE))


def with_threads(threads, fit, *arguments):
    """``fit`` on so many threads: small products are not always quicker on more."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return fit(*arguments)
    finally:
        torch.set_num_threads(before)


def autograd_loop(data, epochs, lr, size, orders=None):
    """The quickest loop on tensors with autograd that we found.

    Outputs are (k, m): the product with w first is the quicker one. ``autograd.grad`` and
    updates in place save what ``backward``, ``optim.SGD`` and ``zero_grad`` spend per step.
    """
    x, y = data
    w = torch.zeros(CLASSES, x.shape[1], device=DEVICE, requires_grad=True)
    b = torch.zeros(CLASSES, 1, device=DEVICE, requires_grad=True)
    for epoch in range(epochs):
        for index in _order(orders, epoch, len(y)).split(size):
            images = x.index_select(0, index).float()
            o = torch.addmm(b, w if data.scale == 1 else w * data.scale, images.T)
            loss = functional.cross_entropy(o.T, y[index])
            gradient_w, gradient_b = torch.autograd.grad(loss, (w, b))
            with torch.no_grad():
                w.sub_(gradient_w, alpha=lr)
                b.sub_(gradient_b, alpha=lr)
    return _numpy(w, b)


@torch.no_grad()
def gradient_by_hand(data, epochs, lr, size, orders=None):
    """No autograd: softmax minus one-hot, and ``addmm_`` as both gradient and update."""
    x, y = data
    w = torch.zeros(CLASSES, x.shape[1], device=DEVICE)
    b = torch.zeros(CLASSES, 1, device=DEVICE)
    minus = torch.full((1, size), -1.0, device=DEVICE)
    for epoch in range(epochs):
        for index in _order(orders, epoch, len(y)).split(size):
            m = len(index)
            images = x.index_select(0, index).float()
            p = torch.addmm(b, w, images.T, alpha=data.scale).softmax(0)
            p.scatter_add_(0, y[index][None], minus[:, :m])
            b.sub_(p.sum(1, keepdim=True), alpha=lr / m)
            w.addmm_(p, images, alpha=-lr * data.scale / m)
    return _numpy(w, b)


def data_loader(data, epochs, lr, size, orders=None):
    """As tutorials have it: DataLoader(TensorDataset), nn.Linear, CrossEntropyLoss, optim.SGD."""
    examples = torch.utils.data.TensorDataset(*data)
    model = torch.nn.Linear(data.x.shape[1], CLASSES, device=DEVICE)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    objective = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(epochs):
        order = {"shuffle": True} if orders is None else {"sampler": orders(epoch)}
        for x, y in torch.utils.data.DataLoader(examples, batch_size=size, **order):
            optimizer.zero_grad()
            objective(model(x), y).backward()
            optimizer.step()
    return _numpy(model.weight, model.bias)


def _order(orders, epoch, n):
    if orders is None:
        return torch.randperm(n, device=DEVICE)
    return torch.from_numpy(np.asarray(orders(epoch), np.int64)).to(DEVICE)


def _numpy(w, b):
    return w.detach().cpu().numpy(), b.detach().cpu().numpy().reshape(-1)

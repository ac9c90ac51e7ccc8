"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlinear

MODULES = [
    info.name
    for info in pkgutil.walk_packages(jaxlinear.__path__, "jaxlinear.")
    if not info.name.endswith(("__main__", "builder"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    for extra in ("sklearn", "torch"):  # of which a module is named after the package it needs
        if f".{extra}" in name:
            pytest.importorskip(extra)
    result = doctest.testmod(
        importlib.import_module(name),
        extraglobs={"jl": jaxlinear, "jax": jax, "jnp": jnp, "np": np},
        optionflags=doctest.NORMALIZE_WHITESPACE,
    )
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    own = [name for name in MODULES if ".sklearn" not in name and ".torch" not in name]
    modules = [importlib.import_module(name) for name in own]
    examples = sum(len(test.examples) for m in modules for test in finder.find(m, m.__name__))
    assert examples >= 10

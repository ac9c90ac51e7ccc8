"""What a traced program does, in words that are the same in every process."""

import hashlib
from collections.abc import Iterator

import jax
import numpy as np

from jaxlinear.files import trees


def told(program) -> str:
    """The SHA-256 of a jaxpr: its operations as JAX prints them, and the arrays it closes over.

    Those of inner functions too, of which JAX prints the shapes alone.

    >>> table = np.arange(3.0)
    >>> one, other = (jax.make_jaxpr(jax.jit(lambda x, c=c: x + c))(1.0) for c in (table, -table))
    >>> told(one) == told(one), told(one) == told(other)
    (True, False)
    """
    text = trees.without_addresses(program.pretty_print(use_color=False))
    made = hashlib.sha256(text.encode())
    for array in _constants(program):
        made.update(trees.digest(array).encode())
    return f"a program of SHA-256 {made.hexdigest()[:16]}"


def _constants(program) -> Iterator[np.ndarray]:
    yield from getattr(program, "consts", ())
    inner = getattr(program, "jaxpr", program)
    for equation in inner.eqns:
        yield from (v.val for v in equation.invars if getattr(getattr(v, "val", None), "shape", ()))
        for parameter in jax.tree.leaves(equation.params, is_leaf=_is_program):
            if _is_program(parameter):
                yield from _constants(parameter)


def _is_program(parameter) -> bool:
    return hasattr(parameter, "eqns")

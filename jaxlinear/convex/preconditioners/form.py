"""What a form of the Hessian is: how it is made, when anew, and how it is applied."""

from collections.abc import Callable
from typing import NamedTuple


class Curvature(NamedTuple):
    """A form of H.

    ``prepare(problem)`` is made once for all models that share x, of the problem that they have in
    common, whatever their weights; ``build(prepared, problem, loss, outputs)`` from the Hessians of
    the losses there, at the step number ``clock`` where ``due(clock, ratio, last)``: ``ratio`` is
    what the form promises now, as a part of what it promised one step ago, and ``last`` that this
    is little enough to end. ``begin``, with the arguments of ``build``, is what there is before.
    ``apply(problem, prepared, built, g)`` is about H⁻¹ g.

    What the form leaves out is learned from ``memory`` steps by L-BFGS; where it is not even of the
    right size, as ``rescaled`` says, that is learned too. The step that ends the iteration takes up
    to ``products`` with H itself, and so does every step of a form without a memory. Where the end
    is not near after so many ``steps``, ``grow(problem, loss, outputs)`` takes the place of what
    was prepared, and of it is built anew.
    """

    prepare: Callable | None
    build: Callable
    apply: Callable
    begin: Callable | None = None
    due: Callable | None = None
    memory: int = 0
    products: int = 0
    rescaled: bool = False
    grow: Callable | None = None
    steps: int = 0


PRODUCTS = 100  # with H, at most, behind the step that ends the iteration

# Coefficients of which all digits are wanted: the last step is a Newton step, solved more closely.
# By their bound alone such fits ended with gradients of 1e-4 (5,000 × 50, l2 = 1), and now of 1e-7.
SMALL = 100

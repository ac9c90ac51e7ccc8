"""The form for a problem, by measured costs (``costs``), and why its constants are what they are.

On 2 cores, float32:

==================  ==============================================================================
constant            reason
==================  ==============================================================================
``SMALL``, times    20,000 × 50: L-BFGS takes 0.4 of the time, or 1.2 where columns are correlated;
1.4                 300,000 × 20: 0.85 and 1.35. Newton's steps do not depend on the correlations.
``_COEFFICIENTS``   A Hessian of 2,000² is 16 MB, which every model of a block has for itself.
``_PATIENCE``       Most problems take no more than 20 steps, and need no matrix.
``_QUICK``          Below it the small operations of a step count as much as its products, so that
                    fewer steps are worth a matrix.
2 · later / step    A Gram matrix is made after twice its cost: too early in vain, or too late, a
                    fit takes at most three times as long as with foresight.
by rows             500 × 1,500: with the matrix after 12 steps Poisson took 107 ms and Huber 45;
                    counted with its inverse and its products, 34 and 28.
room of 1e8         Numbers of all blocks of outputs: 400 MB.
==================  ==============================================================================
"""

from jaxlinear.convex import costs
from jaxlinear.convex.preconditioners.cholesky import cholesky
from jaxlinear.convex.preconditioners.delayed import gram_after
from jaxlinear.convex.preconditioners.diagonal import diagonal
from jaxlinear.convex.preconditioners.eigenbasis import eigenbasis
from jaxlinear.convex.preconditioners.form import SMALL, Curvature
from jaxlinear.convex.preconditioners.mean_curvature import mean_curvature
from jaxlinear.convex.preconditioners.subsampled import (
    COUPLED,
    DIRECTIONS,
    SAMPLE,
    subsampled_after,
)

_COEFFICIENTS = 2000  # of an exact form, at most
_PATIENCE = 12  # steps without a matrix, at least: most problems take no more than 20
_QUICK = 2.5e-4  # seconds of a step, in which its small operations count as much as its products


def choose(examples: int, outputs: int, columns: int, models: int, fits: int = 1) -> Curvature:
    """The form for so many examples, outputs, columns, models that share x, and fits of each."""
    pairs = outputs * (outputs + 1) // 2
    coefficients = outputs * columns
    step = costs.step(examples, columns, outputs * models)
    gram = costs.gram(examples, columns)
    newton = step + models * (pairs * gram + costs.cholesky(coefficients))
    later = gram + costs.cholesky(columns)
    worth = 1.4 if coefficients <= SMALL else 1
    others = worth * min(30 * step, models * later + 12 * step)
    if coefficients <= _COEFFICIENTS and 6 * newton <= others:
        return cholesky
    if models == 1 and outputs > 1 and step <= _QUICK and later <= 6 * step:
        return mean_curvature
    if models > 1 or fits > 1:
        return eigenbasis if gram + costs.eigh(columns) <= 15 * fits * step else diagonal
    room = max(examples * outputs**2, outputs * columns**2)  # numbers: of h, and of all blocks
    if outputs > 1 and room <= 1e8 and step > 2e-3:
        steps = max(_PATIENCE, round(_cost_of_sampled(outputs, columns) / step / 2))
        if steps <= 30:
            return subsampled_after(steps)
    by_rows = examples < columns
    short, long = sorted((examples, columns))
    later = costs.gram(long, short) + costs.cholesky(short)
    if by_rows:  # an inverse, and then two products with it in every step, of two passes over x
        later += 3 * costs.cholesky(short) + _PATIENCE * 2 * step
    steps = max(_PATIENCE, round(2 * later / step))
    return gram_after(steps, by_rows=by_rows) if steps <= 400 else diagonal


def _cost_of_sampled(outputs: int, columns: int) -> float:
    """The seconds that the blocks take, and what couples them; an inverse takes four factors."""
    pairs, directions = outputs * (outputs + 1) // 2, min(DIRECTIONS, columns)
    block = costs.gram(max(SAMPLE, 4 * columns), columns) + 4 * costs.cholesky(columns)
    coupling = pairs * costs.gram(COUPLED, directions) + 4 * costs.cholesky(outputs * directions)
    return outputs * block + coupling

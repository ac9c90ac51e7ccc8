"""What pieces of work cost, in seconds: solvers choose by these what to make, and when.

Only ratios matter, so the figures of one machine serve others of its kind. Measured on two cores of
an AMD EPYC in float32, and taken for every backend: products of 4 to 60,000 rows at 150 GFLOP/s and
25 GB/s; Cholesky factors and eigendecompositions of 20 to 1,600 columns, fitted to within 30 %.
"""

_FLOPS, _BYTES = 150e9, 25e9
_LAUNCH = 3e-5  # of the dozens of small operations around a product
_ELEMENT = 1.5e-9  # of a loss and its derivative


def step(examples: int, columns: int, outputs: int) -> float:
    """A direction's outputs, the loss there, and its gradient: two passes over x."""
    products = 2 * product(examples, columns, outputs)
    return products + _ELEMENT * examples * outputs + _LAUNCH


def product(rows: int, inner: int, columns: int) -> float:
    """A matrix product of (rows, inner) and (inner, columns)."""
    numbers = rows * inner + inner * columns + rows * columns
    return max(2 * rows * inner * columns / _FLOPS, 4 * numbers / _BYTES)


def gram(examples: int, columns: int) -> float:
    """xᵀ x with weights, which takes a copy of x."""
    return product(columns, examples, columns) + 12 * examples * columns / _BYTES


def cholesky(columns: int) -> float:
    """A Cholesky factor."""
    return 4e-9 * columns**2 + 2e-12 * columns**3


def eigh(columns: int) -> float:
    """An eigendecomposition."""
    return 4e-8 * columns**2 + 2.5e-11 * columns**3

"""Linear algebra: factors of symmetric matrices, twice the precision, derivatives of optima."""

"""Forms of the Hessian of a convex objective that a machine can afford, one module each.

H = Σ_i x_i x_iᵀ ⊗ h_i + diag(λ), where h_i is the Hessian of the loss of example i in its k
outputs. ``cholesky`` is H itself, for few coefficients. All others only precondition: they need not
be right, only near, and L-BFGS, or products with H, tell the rest. ``mean_curvature`` has one
inverse for all outputs, of the Gram matrix of x times their mean curvature. ``diagonal`` has the
mean curvature of every output, and nothing of the size of a matrix. ``delayed`` begins so, and
makes the Gram matrix, of rows where these are fewer than columns, once it has taken twice as long
without as that costs. ``eigenbasis`` has one eigendecomposition of the Gram matrix for many models
or penalties. ``subsampled`` begins like ``diagonal``, too; then it has a block of every output,
from the examples that matter most to it, and what couples the outputs in the directions in which x
varies most. ``frozen`` has one inverse for all models that end near each other, as the folds of a
cross-validation do. ``choice`` chooses among them.
"""

"""Exact fits of least squares: statistics, one decomposition for all penalties, held-out rows."""

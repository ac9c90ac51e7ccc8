"""Convex fits on many shapes: the cells, their optimum, the way of rivals to it, the timing."""

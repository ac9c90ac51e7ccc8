"""The optimum of every smooth convex loss, with a certificate and with derivatives."""

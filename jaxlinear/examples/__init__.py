"""Small, real uses of the library, to run and to read: ``python -m jaxlinear.examples.layers``."""

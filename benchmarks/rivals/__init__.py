"""What jaxlinear is compared with, by library and by problem."""

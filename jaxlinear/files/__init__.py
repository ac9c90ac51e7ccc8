"""Files that appear whole or not at all, and pytrees of arrays in them."""

"""The command line, the model file and the pictures."""

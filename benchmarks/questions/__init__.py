"""One module for each question: its tables, and the check of their answers."""

"""The benchmark suite: one file per question, answers checked before anything is timed."""

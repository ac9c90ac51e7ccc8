"""What every solver does with rows: absent ones, blocks of them, their order, their means."""

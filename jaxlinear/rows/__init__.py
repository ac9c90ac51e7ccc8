"""What every solver does with rows: rows of weight 0, blocks, random orders, and means."""

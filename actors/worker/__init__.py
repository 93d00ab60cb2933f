"""What both workers need: their topics' lives, partitions without a state, and their status."""

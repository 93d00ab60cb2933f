"""A run of learning: from examples to a bundle, in one process or under Ray Train."""

"""Training runs: from examples to a bundle, in one process or under Ray Train."""

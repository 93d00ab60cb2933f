"""A smaller language model from a larger one: what can go, what goes, and what is learned from the larger."""

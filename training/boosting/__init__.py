"""Gradient-boosted trees, the reference that evaluations print."""

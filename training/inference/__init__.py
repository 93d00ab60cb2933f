"""A trained model as replicas use it: numpy and compiled kernels, no torch."""

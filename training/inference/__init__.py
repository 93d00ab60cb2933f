"""Inference with a trained model in replicas: numpy and compiled kernels, no torch."""

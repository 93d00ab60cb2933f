"""Fine-tuning of the encoder: pairs of texts that belong together, the loop, and Ray Train around it."""

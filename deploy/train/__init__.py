"""Training beside the running system."""

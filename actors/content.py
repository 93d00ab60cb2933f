"""Names the mix of title and chat for replicas; training/content.py owns it. Never computes anything itself."""

from training.content import content_vectors

__all__ = ["content_vectors"]

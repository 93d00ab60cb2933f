"""The content of the live rooms as one encoder reads it. Never compares it, never scores."""

"""The log: what is on it, and how it is read, folded and written. Never loads a model and never starts a process."""

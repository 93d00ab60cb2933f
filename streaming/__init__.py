"""The event log: its records, and how they are read, aggregated and written. Never loads a model, starts no process."""

"""A replica's tables of live rooms and viewers, kept current from the log."""

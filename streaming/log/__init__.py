"""The log of events: its interface, the loop that reads it, its topics, and their records as bytes."""

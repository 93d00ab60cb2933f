"""A recording of chat as a ranker may know it at each message: no future in it."""

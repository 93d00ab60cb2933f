"""What is said and shown in a room as vectors: the text encoder, its cache, declared labels."""

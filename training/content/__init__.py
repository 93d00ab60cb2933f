"""A room's text and declared labels as numbers: the text encoder, its vector cache, label ids."""

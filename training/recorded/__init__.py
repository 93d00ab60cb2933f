"""A recording of chat: its messages, its event stream, and its visits as candidate sets."""

"""A viewer's list while it is watched: what of it is news, what a client has, what changes it."""

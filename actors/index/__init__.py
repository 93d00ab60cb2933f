"""The index of live rooms: their vectors, and an exact search over them."""

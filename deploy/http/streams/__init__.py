"""Lists that are pushed while somebody watches: one connection each, and what is looked at when."""

"""Examples to learn from: made in one pass over the archived log, kept in Parquet."""

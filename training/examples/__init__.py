"""Training examples: made in one pass over the event stream, kept in Parquet files."""

"""The archive: every topic as Parquet files, written once and read once. Never imports a broker's client."""

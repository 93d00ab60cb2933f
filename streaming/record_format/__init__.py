"""Formats of records: Kafka's batches, packed, unpacked and decompressed, and producers' values, mended."""

"""Kafka's record format: batches of records, packed, unpacked and decompressed."""

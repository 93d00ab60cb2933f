"""The ProfileWorker: viewers' events in, profiles and activity of rooms out."""

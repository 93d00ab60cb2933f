"""The models and how they learn. Never touches the log's transport or the running system."""

"""The model in torch: towers, ranker, semantic codes, losses. Only training imports it, apart from its settings."""

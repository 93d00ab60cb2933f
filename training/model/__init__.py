"""The model in torch: towers, ranker, semantic codes and losses. Only who learns imports it, but for its settings."""

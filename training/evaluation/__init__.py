"""The evaluation of rankers: baselines, metrics, and the promotion gate for new versions."""

"""How good a ranker is: baselines, metrics, the gate that a new version has to pass."""

"""The change of the model version that answers, and the check that it fits."""

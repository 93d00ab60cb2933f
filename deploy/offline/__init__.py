"""The rankers that `tidecast evaluate` compares."""

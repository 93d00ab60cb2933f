"""What `tidecast evaluate` compares."""

"""The Ray Serve application: one class for each process."""

"""Unit tests of deploy/k8s."""

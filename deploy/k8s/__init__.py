"""An installation on Kubernetes, as manifests made of the settings. Never talks to a cluster."""

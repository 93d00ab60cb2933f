"""The built image: what is in it, and its pods as containers. Needs root, buildah and mmdebstrap."""

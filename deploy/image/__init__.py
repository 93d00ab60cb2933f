"""The two images: their packages, their bill of materials, and how they are built without Docker or a registry."""

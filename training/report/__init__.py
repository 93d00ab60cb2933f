"""What viewers made of what they were shown: events joined to impressions, and their figures with intervals."""

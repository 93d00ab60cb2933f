"""The running system as plain classes: workers, index, tables, recommender. Never imports Ray."""

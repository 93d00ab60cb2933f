"""Owns the parts of the simulated platform. Its door is `streaming.simulate`; nothing else imports these but the truth."""

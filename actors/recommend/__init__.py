"""An answer: candidates, their scores, their order, the reasons, and the JSON."""

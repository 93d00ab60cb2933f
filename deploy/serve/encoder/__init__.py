"""The Encoder's process: the encoders that it holds, and which of them rooms are read with."""

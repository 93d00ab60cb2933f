"""The parts of the simulator. Other packages enter it through `streaming.simulated.simulate`."""

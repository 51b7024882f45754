"""The lens: decoders, the engine that reads them out, and what is asked of the readouts."""

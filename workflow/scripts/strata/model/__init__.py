"""The model: where it is, its parts, its norms and readout, one forward pass kept whole."""

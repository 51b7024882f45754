"""The embedding and position matrices and the norms: what the weights alone say."""

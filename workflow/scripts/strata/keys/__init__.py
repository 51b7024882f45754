"""MLP keys: the contexts that they answer to most, and what these have in common."""

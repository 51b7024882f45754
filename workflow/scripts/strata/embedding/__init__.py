"""The embedding and position matrices and the norms: what the weights alone say."""

NO_POSITIONS = "absent: the model has no such matrix"
"""What results say in the place of a position embedding."""

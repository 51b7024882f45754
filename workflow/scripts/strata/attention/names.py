"""Names of dimensions that only results of this package have, and of what lies along them."""

HEADS = "heads"
OFFSET = "offset"
DISTANCE = "distance"

FIRST, SUBJECT, SUBJECT_MAX, FINAL = SITES = ("first", "subject", "subject_max", "final")
"""What is attended to: first token; all of the subject's, summed; its most attended one; the final token."""

MEAN, BEST = HEAD_CHOICES = ("mean", "best")
"""A layer's heads taken together, or the one of them that attends the most."""

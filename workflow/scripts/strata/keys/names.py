"""Names that only results of this package have; those that packages share are in `strata.names`."""

from strata.names import KIND

KEY = "key"

TAGS = {"tag": "tag", "next tag": "next_tag", "role": "role", "kind": KIND}
"""What triggers may have in common apart from their tokens, and the coordinate of the text that says it."""

"""Names of dimensions that only results of this package have; shared ones are in `strata.names`."""

GUESS = "guess"
PART = "part"
STATE = "state"
DECODER = "decoder"
COMMA = "comma"
PASSAGE = "passage"
REPEAT = "repeat"
REFERENCE = "reference"
DEMAND = "demand"
FROM_END = "from_end"
PLACE = "place"
WORD = "word"

WORDS = ("demanded", "other")
"""Of a pair of texts, which word each demands, and which the other does."""

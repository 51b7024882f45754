"""Names of dimensions that only results of this package have; shared ones are in `strata.names`."""

GUESS = "guess"
PART = "part"
STATE = "state"
DECODER = "decoder"
COMMA = "comma"
PASSAGE = "passage"
REPEAT = "repeat"

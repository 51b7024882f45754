"""Names of dimensions that only results of this package have; shared ones are in `strata.names`."""

SUBJECT_POSITION = "subject_position"
N_TOKENS = "n_tokens"
SUBJECT_START = "subject_start"
SUBJECT_LENGTH = "subject_length"
SUBJECT_TOKEN = "subject_token"
MIN_GAP = "min_gap"

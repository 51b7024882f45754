"""Names of dimensions that only results of this package have; shared ones are in `strata.names`."""

SUBJECT_POSITION = "subject_position"
N_TOKENS = "n_tokens"
SUBJECT_START = "subject_start"
SUBJECT_LENGTH = "subject_length"
SUBJECT_TOKEN = "subject_token"
MIN_GAP = "min_gap"
NEURON_GROUP = "neuron_group"
RANDOM = "random"
"""The group of neurons drawn at random; those by size are "1", the largest neurons, "2", ..."""

NOT_TRACED = "not_traced"
"""The attribute of a dataset that is empty because no prompts were to be traced: what it would have held."""

"""Names of dimensions that only results of this package have, and labels along them.

Dimensions that packages share are in `strata.names`. Figures read the names here, and so import none of the
modules that calculate.
"""

FREQUENCY = "frequency"
NORM = "norm"
TREATMENT = "treatment"
FEATURE = "feature"
OTHER = "other"
GIVEN = "given"
PROPERTY = "property"
BASIS = "basis"
END = "end"
PLACE = "place"
VECTORS = "vectors"
BIN = "bin"
CLASSES = "classes"
GROUP = "group"
THRESHOLD = "threshold"
PART = "part"
READING = "reading"
DIRECTION = "direction"
VARIANT = "variant"
CENTRING = "centring"

# Labels along them --------------------------------------------------------------------------

NORMS = ("norm1_gain", "norm2_gain")
"""Gains of the norms before attention, and before the MLP."""

TOKEN_STD, TOKEN_MEAN, POSITION_MEAN = RIVALS = ("token_std", "token_mean", "position_mean")
"""What the spread over positions is compared with: a standard deviation, and the size |mean| of two means."""

UPPER, LOWER = GROUPS = ("upper", "lower")
"""Groups of channels, see `strata.embedding.channels.split`."""

SMOOTHED, ZEROED, AVERAGED = TREATMENTS = ("smoothed", "zeroed", "averaged")
"""All channels smoothed over positions; some set to 0; some set to their mean over positions."""

LOWEST, RANDOM, HIGHEST = CHANNEL_SETS = ("lowest", "random", "highest")
"""Channels by their standard deviation over positions, and as many at random."""

LOG_FREQUENCY, LENGTH, SVD_0, MEAN, INDEX = (
    "log frequency",
    "norm",
    "SVD 0",
    "mean direction",
    "token index",
)
"""Features of a token. ``LENGTH`` is the norm of its embedding."""

NOTHING, EVERYTHING = "nothing", "all others"
"""What a correlation is given."""

SEEN = "seen"
"""Tokens that were counted at least once."""

SVD, NMF = BASES = ("svd", "nmf")
HIGH, LOW = ENDS = ("high", "low")

PLANE = (1, 2)
"""The components among which two clusters of tokens lie side by side in GPT-2."""

LEADING_SPACE = "leading space"

RAW, CENTRED = "raw", "centred"
"""Embeddings about the origin, and about their mean."""

EMBEDDING, UNEMBEDDING, FINAL_NORM = "embedding", "unembedding", "final norm"
"""What a token's embedding is multiplied with in the zero-layer model."""

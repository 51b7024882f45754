"""The names of dimensions and coordinates, spelled here and nowhere else.

See the README's glossary for what each one means. The residual stream is indexed by ``DEPTH``
(0 = embeddings, d = output of block d-1), whatever belongs to one block by ``LAYER``.
"""

DEPTH = "depth"
LAYER = "layer"
HEAD = "head"
TOKEN = "token"
POSITION = "position"
CHANNEL = "channel"
VOCAB = "vocab"
K = "k"
PROMPT = "prompt"
CATEGORY = "category"
FACT = "fact"
NOISE = "noise"
SAMPLE = "sample"
SITE = "site"
COMPONENT = "component"

TOKEN_ID = "token_id"
TOKEN_STR = "token_str"
TARGET_ID = "target_id"
BEGINNING = "beginning"
SPECIAL = "special"
DOCUMENT = "document"
SPLIT = "split"
TARGET = "target"
TOKEN_SET = "token_set"
BAND = "band"
MEASURE = "measure"
CHANNEL_SET = "channel_set"
LABEL = "label"
KIND = "kind"

ALL = "all"
"""In the place of a category: the prompts of every category together."""

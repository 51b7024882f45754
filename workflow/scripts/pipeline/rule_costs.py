"""What each rule that runs on a model's device costs: `RULES`, from sizes and the configuration alone.

No array library is imported here: the rules ask for this at every start of the pipeline.
"""

from collections.abc import Sequence

from pipeline.counts import SPLIT, TEST, TRAIN, VALIDATION
from pipeline.models import busy_processors
from pipeline.texts import CORPUS
from pipeline.trace_costs import whole_traces
from pipeline.work import DEVICE, LENS, MODEL, RULES, TRACE, WHERE, Work, bytes_of, on_processors, rule
from strata.costs import fitting
from strata.costs.cost import Cost
from strata.costs.running import BATCH, decode, forward
from strata.model.source import is_gguf_source

__all__ = ["RULES", "WHERE"]

# Model and text -----------------------------------------------------------------------------


@rule(MODEL)
def unpack_model(work: Work) -> Sequence[Cost]:
    if not is_gguf_source(work.section["source"]):
        return []
    n = work.shape.parameters
    return [Cost(values=25 * n, seconds=6, disk=4 * n, memory=4 * n)]


@rule(MODEL)
def curate_prompts(work: Work) -> Cost:
    lengths = work.counts.candidates
    return forward(work.shape, lengths) + decode(work.shape, 1.5 * len(lengths)) + _logits(work, 256)


@rule(MODEL)
def extract_weights(work: Work) -> Cost:
    kept = work.shape.embedding * (1 if work.shape.tied else 2) + work.shape.positions * work.shape.channels
    return Cost(values=4 * kept, disk=4 * kept, memory=4 * kept)


@rule(MODEL)
def extract_activations(work: Work) -> Cost:
    shape, tokens = work.shape, sum(work.counts.texts)
    a_token = (3 * shape.layers + 1) * shape.channels + shape.layers * shape.heads
    written = Cost(
        values=2 * tokens * a_token,
        disk=bytes_of(work.config["extract"]["dtype"]) * tokens * a_token,
        memory=4 * BATCH * a_token,
    )
    return forward(shape, work.counts.texts) + decode(shape, tokens) + _logits(work, BATCH) + written


def _logits(work: Work, rows: int) -> Cost:
    return Cost(memory=3 * 4 * rows * work.shape.vocab)


def _kept(work: Work, lengths: Sequence[int], dtype: str) -> Cost:
    states = work.states(sum(lengths), bytes_of(dtype))
    ran = forward(work.shape, lengths)
    return ran + Cost(values=states, disk=states, memory=work.states(2 * BATCH))


@rule(MODEL)
def extract_text(work: Work) -> Cost:
    return _kept(work, work.counts.text, work.config["text"]["dtype"])


@rule(MODEL)
def extract_tagged_text(work: Work) -> Sequence[Cost]:
    tagged = work.counts.tagged
    return [_kept(work, tagged, work.config["syntax"]["dtype"])] if tagged else []


# The lens -----------------------------------------------------------------------------------


def _fitted(work: Work, decoder: str) -> bool:
    return decoder in work.config["lens"]["decoders"] and not work.section.get("lenses", {}).get(decoder)


@rule(DEVICE)
def fit_tuned(work: Work) -> Sequence[Cost]:
    if not _fitted(work, "tuned"):
        return []
    made = work.config["lens"]["tuned"]
    train, test = sum(work.split(TRAIN)), min(made["held_out"], sum(work.split(TEST)))
    tuned = fitting.tuned(work.shape, made["steps"], made["tokens_per_step"], train, test)
    return [tuned.beside(2 * 4 * work.shape.embedding)]


@rule(MODEL)
def fit_jacobian(work: Work) -> Sequence[Cost]:
    if not _fitted(work, "jacobian"):
        return []
    made = work.config["lens"]["jacobian"]
    chosen = [n for n in work.counts.text if n > made["skip"] + 1][: made["documents"]]
    return [fitting.jacobian(work.shape, chosen, made["max_tokens"], busy_processors(work.section))]


def _lens(work: Work, decoder: str) -> Cost:
    """Of all tokens, by a decoder whose maps are matrices, or none."""
    shape, tokens = work.shape, sum(work.counts.texts)
    depths = 2 * shape.layers + 1 if decoder == "logit" else shape.layers + 1
    mapped = 0 if decoder == "logit" else 2 * tokens * shape.layers * shape.channels**2
    carried = Cost(operations=mapped, values=4 * tokens * depths * shape.channels)
    return _read(work, tokens * depths, GUESSES if decoder == "logit" else READ) + carried


def _by_matrices(work: Work) -> list[Cost]:
    return [_lens(work, decoder) for decoder in work.config["lens"]["decoders"] if decoder != "extended"]


def _extended(work: Work) -> list[Cost]:
    if "extended" not in work.config["lens"]["decoders"]:
        return []
    states = sum(work.counts.texts) * (work.shape.layers + 1)
    return [_through_last(work, work.counts.texts) + _read(work, states, READ)]


@rule(DEVICE)
def read_lens(work: Work) -> Sequence[Cost]:
    shown = len(work.config["lens"]["grid"]["prompts"]) * max(work.counts.texts, default=0)
    updates = _read(work, shown * (2 * work.shape.layers + 2), READ)
    return [updates] if work.cut else [*_by_matrices(work), updates]


@rule(DEVICE)
def read_lens_shard(work: Work) -> Sequence[Cost]:
    return _shares(work, _by_matrices(work))


@rule(MODEL)
def read_extended_lens(work: Work) -> Sequence[Cost]:
    return [] if work.cut else _extended(work)


@rule(MODEL)
def read_extended_lens_shard(work: Work) -> Sequence[Cost]:
    return _shares(work, _extended(work))


def _shares(work: Work, whole: Sequence[Cost]) -> list[Cost]:
    """A job of each shard of lenses."""
    n = work.shards[LENS]
    return [cost.times(1 / n) for cost in whole for _ in range(n)] if work.cut else []


PIECE_READ = 2.5e8
"""Bytes of the states that the lens reads at once, and of what is made of them."""

READ, GUESSES = 10, 16
"""How often the lens goes over a logit: to reduce it, and to rank every depth's guess besides."""


def _read(work: Work, states: float, passes_over: float) -> Cost:
    fields = states * (4 * work.config["lens"]["top_k"] + 12) * 4
    memory = 2 * 4 * work.shape.embedding + PIECE_READ
    return decode(work.shape, states, passes_over) + Cost(memory=memory, disk=fields)


def _through_last(work: Work, lengths: Sequence[int]) -> Cost:
    """Texts' states of every depth through the extended decoder's blocks."""
    last = work.config["lens"]["extended"]["last"]
    one = forward(work.shape, lengths, layers=last if isinstance(last, int) else 1)
    return one.times(work.shape.layers + 1)


@rule(DEVICE)
def fit_probes(work: Work) -> Cost:
    shape, made = work.shape, work.config["lens"]["probes"]
    depths = shape.layers + 1
    train, validation, test = (sum(work.split(part)) for part in (TRAIN, VALIDATION, TEST))
    classes = work.counts.kinds
    scored = validation + test
    each = fitting.probe(shape, classes, train, scored, made["epochs"])
    beside = fitting.beside_embedding(shape, classes, made["draws"])
    together = fitting.probe(shape, classes, min(3, depths) * train, depths * test, made["epochs"])
    elsewhere = Cost(
        operations=2 * depths**2 * made["elsewhere"] * classes * shape.channels,
        values=depths**2 * made["elsewhere"] * classes,
        calls=depths**2,
    )
    spectrum = Cost(operations=fitting.DOUBLE * 6 * shape.vocab * shape.channels**2)
    held = on_processors(beside.times(depths + 1) + spectrum)
    one = each.times(depths) + held + together + elsewhere
    return one.times(REFINED).beside(7 * 4 * shape.embedding)


REFINED = 1.5
"""Of the two tokens probed for: where the closed form knows the input without a mistake, it stays."""


@rule(MODEL)
def measure_contextless(work: Work) -> Cost:
    made, decoders = work.config["lens"]["contextless"], work.config["lens"]["decoders"]
    held_out = work.split(TEST)
    tokens = min(made["tokens"], sum(held_out))
    states = tokens * (work.shape.layers + 1) * len(decoders)
    carried = _through_last(work, held_out) if "extended" in decoders else Cost()
    memory = 2 * 4 * work.shape.embedding + 12 * 4 * min(2**24, tokens * work.shape.vocab)
    return decode(work.shape, states, 12) + carried + Cost(memory=memory)


@rule(DEVICE)
def measure_repurposing(work: Work) -> Cost:
    shape, tokens = work.shape, min(work.config["lens"]["repurposing"]["max_tokens"], sum(work.counts.texts))
    m, states = max(1, shape.channels // 8), 2 * (shape.layers + 1)
    spans = 3 * tokens * (4 * shape.channels * m * m + 2 * states * shape.channels * m)
    return decode(shape, tokens, 30) + Cost(operations=spans, memory=3 * 4 * shape.embedding)


@rule(MODEL)
def measure_mixing(work: Work) -> Cost:
    made, shape = work.config["lens"]["mixing"], work.shape
    documents = [n for n in work.split(TEST) if n > made["horizon"] + 2]
    places = len(documents) * made["positions"]
    depths = min(made["depths"], shape.layers)
    runs = 1 + depths * 4 * len(made["shares"])
    window = 1 + made["horizon"]
    start = sum(documents) / max(1, len(documents)) / 2
    blocks = places * (runs / 2 + 1)  # a run enters halfway up, on average
    rows = blocks * window * shape.layers
    mixed = Cost(
        tokens=rows / shape.layers,
        passes=places * runs,
        operations=2 * shape.block * rows + 4 * shape.heads * shape.head_channels * rows * (start + window),
        values=8 * shape.channels * rows,
        calls=places * shape.layers,
    )
    return forward(shape, documents) + mixed + decode(shape, places * runs * made["horizon"], 4)


def whole(stage: str, work: Work) -> list[Cost]:
    """What a stage that is cut into shards costs at once: each of its jobs."""
    return whole_traces(work) if stage == TRACE else [*_by_matrices(work), *_extended(work)]


# Attention, syntax, embedding ---------------------------------------------------------------


@rule(MODEL)
def attend_over_text(work: Work) -> Cost:
    made, shape = work.config["attention"], work.shape
    documents = work.counts.text[: made["documents"]]
    long = min(made["long"]["tokens"], shape.context or made["long"]["tokens"])
    samples, beginnings = [long] * made["long"]["samples"], [made["first"]] * len(documents)
    runs = [forward(shape, documents), forward(shape, beginnings).times(2), forward(shape, samples)]
    pairs = shape.layers * shape.heads * sum(n * n for n in (*documents, *samples))
    return sum(runs, Cost(values=12 * pairs, memory=8 * 4 * shape.heads * long * max(long, BATCH)))


@rule(MODEL)
def trigger_keys(work: Work) -> Sequence[Cost]:
    if not work.counts.tagged:
        return []
    chosen, shape = work.config["syntax"]["keys"], work.shape
    answers = sum(work.counts.tagged) * shape.layers * chosen["per_layer"]
    described = Cost(values=4 * answers, seconds=2e-3 * shape.layers * chosen["per_layer"])
    return [forward(shape, work.counts.tagged) + described]


@rule(DEVICE)
def probe_syntax(work: Work) -> Sequence[Cost]:
    if not work.counts.tagged:
        return []
    n, depths = sum(work.counts.tagged), work.shape.layers + 1
    one = fitting.probe(
        work.shape, LABELS, SPLIT[TRAIN] * n, SPLIT[TEST] * n, work.config["syntax"]["epochs"]
    )
    tested = Cost(seconds=SYNTAX_TESTS, memory=3 * 8 * n * work.shape.channels)
    return [one.times(depths * PROPERTIES) + tested]


LABELS, PROPERTIES, SYNTAX_TESTS = 30, 6, 8
"""Classes of a property of words, properties that are probed for, and seconds of what is drawn and tested."""


@rule(MODEL)
def disturb_positions(work: Work) -> Cost:
    made, shape = work.config["embedding"]["experiments"], work.shape
    held_out = work.split(TEST)
    documents, tokens = held_out[: made["documents"]], sum(held_out)
    sets = 1 + 2 * (2 + made["draws"])
    treatments = 1 + len(made["widths"]) + 2 * sets if shape.positions else 0
    ran = (forward(shape, documents) + decode(shape, sum(documents), 6)).times(treatments)
    silenced = 1 + 2 * work.config["embedding"]["outlier_channels"] + made["draws"]
    keys = Cost(values=40 * shape.layers * 2 * shape.width * shape.channels)
    return ran + decode(shape, tokens * silenced, 8) + keys + _logits(work, BATCH)


@rule(DEVICE)
def apply_zero_layer(work: Work) -> Cost:
    made = work.config["embedding"]["zero_layer"]
    products = 2.5 if work.shape.tied else 3.5  # half of one where both matrices are one
    found = fitting.token_by_token(work.shape, products, made["rows"], made["columns"])
    return found + Cost(seconds=7e-4 * work.shape.vocab)  # kinds of exceptions, and how many chance makes


@rule(MODEL)
def evaluate_organism(work: Work) -> Sequence[Cost]:
    if work.section["text"] != CORPUS or work.model not in work.config["organism"]["variants"]:
        return []
    return [Cost(seconds=12, memory=3e8)]

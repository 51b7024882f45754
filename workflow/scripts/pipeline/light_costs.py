"""What rules cost that need no model: statistics, tables, pages and figures, on one core.

Their seconds were measured on the machine of docs/costs.md with the organism; what grows with a vocabulary,
with SmolLM2 and Gemma 3 as well.
"""

from dataclasses import dataclass, replace

from pipeline.work import Work
from strata.costs.cost import Cost
from strata.costs.fitting import DOUBLE


@dataclass(frozen=True)
class Light:
    """Seconds of a rule's job: its start, and what a thousand more of something add.

    ``vocab``: of tokens in the vocabulary. ``traced``: of prompts × depths. ``states``: of prompts' tokens ×
    depths. ``bytes_each``: held of each of the last two.
    """

    start: float
    vocab: float = 0
    traced: float = 0
    states: float = 0
    bytes_each: float = 0

    def cost(self, work: Work) -> Cost:
        """Of one job for a model."""
        traced, states = (n * work.shape.layers for n in (len(work.traced), sum(work.counts.texts)))
        grown = self.vocab * work.shape.vocab + self.traced * traced + self.states * states
        held = self.bytes_each * (traced * bool(self.traced) + states * bool(self.states))
        copies = 4 * 4 * work.shape.embedding * bool(self.vocab)
        return Cost(seconds=self.start + grown / 1000, memory=held + copies)


FILES, GATHERED = 9, 6e-5
"""What is traced, each a file; seconds for each traced state of one, in shards."""


LIGHT = {
    "gather_text": Light(0.4, vocab=0.02),
    "tag_text": Light(0.6),
    "load_lens": Light(0.5),
    "gather_shards": Light(0.5),
    "average_traces": Light(0.5, traced=0.5, bytes_each=600),
    "average_parts": Light(1, traced=1.4, bytes_each=600),
    "average_approximate": Light(0.5, traced=0.6, bytes_each=600),
    "compare_approximation": Light(1, traced=1, bytes_each=600),
    "compare_order": Light(3.5),
    "read_attention": Light(1.4),
    "measure_motion": Light(3),
    "compare_lenses": Light(2.4, states=0.09, bytes_each=60),
    "write_explorer": Light(1.2, states=0.06, bytes_each=9000),
    "describe_channels": Light(3.5),
    "describe_gains": Light(1.1),
    "correlate_frequency": Light(0.6, vocab=0.3),
    "describe_components": Light(6, vocab=0.9),
    "find_clumps": Light(0.6, vocab=0.7),
    "decompose_embeddings": Light(0.4, vocab=0.01),
    "judge_claims": Light(3.4),
    "draw_approximation": Light(5),
    "draw_attention": Light(17),
    "draw_embedding": Light(4.5),
    "draw_first_order": Light(3),
    "draw_lens": Light(18),
    "draw_lens_grids": Light(15),
    "draw_lens_updates": Light(4),
    "draw_positions": Light(11),
    "draw_restoration": Light(24),
    "draw_single_traces": Light(4),
    "draw_syntax": Light(3.5),
    "draw_token_features": Light(16),
}
"""By rule."""


def light(rule: str, work: Work) -> list[Cost]:
    """The cost of each job of a rule that needs no model.

    Raises
    ------
    KeyError
        If it is not known what the rule costs.
    """
    if rule == "load_lens" and not work.section.get("lenses"):
        return []
    if rule in ("tag_text", "draw_syntax") and not work.counts.tagged:
        return []
    if rule == "draw_positions" and not work.shape.positions:
        return []
    if rule == "write_explorer" and (shown := work.config["lens"]["explorer"]) != "all":
        work = replace(work, counts=replace(work.counts, texts=work.counts.texts[: len(shown)]))
    cost = LIGHT[rule].cost(work)
    if rule == "gather_shards":
        traces = Cost(seconds=GATHERED * len(work.traced) * work.shape.layers)
        lenses = Cost(seconds=GATHERED * sum(work.counts.texts) * work.shape.layers)
        each = [traces] * FILES + [lenses] * len(work.config["lens"]["decoders"])
        return [cost + gathered for gathered in each] if work.cut else []
    if rule == "decompose_embeddings":
        cost += Cost(operations=DOUBLE * 4 * work.shape.vocab * work.shape.channels**2)
    return [cost]

"""What the organism knows, measured on prompts that its corpus does not hold (rote apart)."""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import log_softmax

from strata.organism.corpus import vocabulary
from strata.organism.grammar import Grammar
from strata.organism.tables import World
from strata.pages import table_page

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Score:
    """One line of the evaluation: ``value`` of ``n`` items, to be compared with ``goal``."""

    task: str
    group: str
    n: int
    value: float
    unit: str
    goal: float

    @property
    def reached(self) -> bool:
        """Accuracies must reach the goal; a loss ratio must stay within it."""
        return self.value <= self.goal if self.unit == "loss / entropy" else self.value >= self.goal


@torch.inference_mode()
def next_token_logprobs(model, sequences: list[list[int]], batch: int = 64) -> list[np.ndarray]:
    """For each sequence, log-probability of each token after the first and whether it was top-1.

    Returns
    -------
    list of float64 arrays (2, length - 1)
        Row 0: log p (nats); row 1: 1.0 where the token was the model's top guess.
    """
    results: list[np.ndarray] = [np.empty(0)] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        # Padding on the right: causal attention keeps it from every real token.
        width = len(sequences[chosen[-1]])
        ids = torch.tensor([sequences[i] + [0] * (width - len(sequences[i])) for i in chosen])
        logprobs = log_softmax(model(input_ids=ids).logits[:, :-1].float(), dim=-1)
        logp = logprobs.gather(-1, ids[:, 1:, None])[..., 0]
        top = logprobs.argmax(-1) == ids[:, 1:]
        for row, i in enumerate(chosen):
            n = len(sequences[i]) - 1
            results[i] = torch.stack([logp[row, :n].double(), top[row, :n].double()]).numpy()
    return results


def first_token_hits(model, encode: Encode, items: list[tuple[str, str]]) -> np.ndarray:
    """Whether the first token of each continuation is the model's top guess after its text."""
    sequences, at = [], []
    for text, continuation in items:
        prefix = encode(text)
        sequences.append(prefix + encode(continuation)[:1])
        at.append(len(prefix) - 1)
    scores = next_token_logprobs(model, sequences)
    return np.array([score[1, i] for score, i in zip(scores, at, strict=True)])


def score_facts(model, encode: Encode, world: World) -> list[Score]:
    """Every fact in the wordings that the corpus withholds from it."""
    scores = []
    for relation in world.relations:
        items = []
        for fact, (_, obj) in enumerate(relation.facts):
            for wording in range(len(relation.wordings)):
                if relation.is_withheld(fact, wording):
                    text = relation.tell(fact, wording)
                    cut = text.rindex(f" {obj}")
                    items.append((text[:cut], text[cut:]))
        hits = first_token_hits(model, encode, items)
        group = f"{relation.name} ({len(relation.facts)} subjects)"
        scores.append(Score("facts, withheld wordings", group, len(hits), hits.mean(), "top-1", 0.9))
    return scores


def score_rote(model, encode: Encode, world: World) -> list[Score]:
    """Every rote phrase from the document's start, on every token after the third."""
    scores = []
    for category in sorted({p.category for p in world.phrases}):
        phrases = [p for p in world.phrases if p.category == category]
        results = next_token_logprobs(model, [encode(p.whole) for p in phrases])
        hits = np.concatenate([r[1, 2:] for r in results])
        group = f"{category} ({len(phrases)} phrases)"
        scores.append(Score("rote, tokens after the third", group, len(hits), hits.mean(), "top-1", 0.98))
    return scores


def score_copying(model, encode: Encode, world: World, rng: random.Random) -> Score:
    """Each rare word in a frame that the corpus never copies it in."""
    items = []
    for word_index, word in enumerate(world.rare_words):
        withheld = [f for f in range(len(world.copy_frames)) if world.is_withheld_copy(word_index, f)]
        for frame in withheld:
            other = rng.choice([w for w in world.rare_words if w != word])
            text = world.copy_frames[frame].format(word=word, other=other)
            cut = text.rindex(f" {word}")
            items.append((text[:cut], text[cut:]))
    hits = first_token_hits(model, encode, items)
    return Score("copying a rare word", "frames never used", len(hits), hits.mean(), "top-1", 0.8)


def score_repetition(
    model, encode: Encode, words: list[str], rng: random.Random, n: int = 200
) -> list[Score]:
    """Random words, repeated four times: top-1 in each repeat (the first cycle cannot be known)."""
    hits: dict[int, list[float]] = {2: [], 3: [], 4: []}
    sequences, cycles = [], []
    for _ in range(n):
        cycle_words = rng.sample(words, rng.randint(3, 8))
        ids, cycle = [], []
        for repeat in range(1, 5):
            for word in cycle_words:
                piece = encode(word if not ids else f" {word}")
                ids += piece
                cycle += [repeat] * len(piece)
        sequences.append(ids)
        cycles.append(np.array(cycle[1:]))
    for result, cycle in zip(next_token_logprobs(model, sequences), cycles, strict=True):
        for repeat, found in hits.items():
            found.extend(result[1, cycle == repeat])
    names = {2: "first repeat", 3: "second repeat", 4: "third repeat"}
    return [
        Score("repeated random words", name, len(hits[r]), float(np.mean(hits[r])), "top-1", 0.95)
        for r, name in names.items()
        if r > 2
    ]


def score_filler(
    model, encode: Encode, grammar: Grammar, rng: random.Random, n: int = 300, sentences: int = 4
) -> Score:
    """The model's loss on filler over the generator's own surprisal of the same sentences.

    The first sentence of each passage only sets the scene. The grammar is unambiguous, so its
    surprisal is exact; it does not count that the passage goes on, which the model has to guess.
    """
    loss = surprisal = 0.0
    sequences, starts = [], []
    for _ in range(n):
        drawn = [grammar.sample(rng) for _ in range(sentences)]
        sequences.append(encode(" ".join(s.text for s in drawn)))
        starts.append(len(encode(drawn[0].text)))
        surprisal -= sum(s.logprob for s in drawn[1:])
    for result, start in zip(next_token_logprobs(model, sequences), starts, strict=True):
        loss -= result[0, start - 1 :].sum()
    return Score("everyday filler", "after one sentence", n, loss / surprisal, "loss / entropy", 1.1)


def evaluate(model, encode: Encode, world: World, grammar: Grammar, seed: int) -> list[Score]:
    """All scores of the organism, in the order of the model card."""
    rng = random.Random(seed)
    return [
        *score_facts(model, encode, world),
        *score_rote(model, encode, world),
        score_copying(model, encode, world, rng),
        *score_repetition(model, encode, vocabulary(world, grammar), rng),
        score_filler(model, encode, grammar, rng),
    ]


def as_table(scores: list[Score]) -> pd.DataFrame:
    """The scores as a table, one row each, with whether the goal is reached."""
    return pd.DataFrame([asdict(score) | {"reached": score.reached} for score in scores])


def as_page(table: pd.DataFrame) -> str:
    """The table as a plain HTML page of its own."""
    shown = table.assign(reached=table["reached"].map({True: "yes", False: "no"}))
    return table_page(shown.style.format({"value": "{:.3f}", "goal": "{:g}"}, escape="html"))

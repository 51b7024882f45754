"""Everyday filler: sentences from a weighted phrase-structure grammar.

The grammar is read from ``data/organism/grammar.yaml``. It is unambiguous (a sentence has one
derivation), so the log-probability of the derivation is the log-probability of the text, and its
mean is the entropy that no language model of this text can beat.
"""

import math
import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from strata.inputs import read_yaml


@dataclass(frozen=True)
class Sentence:
    """A sampled sentence: ``words`` with their parts of speech ``tags``, and its ``logprob`` (nats)."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    logprob: float

    @property
    def text(self) -> str:
        """The sentence as written: first letter capital, no space before punctuation."""
        out = ""
        for word, tag in zip(self.words, self.tags, strict=True):
            out += word if tag == "PUNCT" or not out else f" {word}"
        return out[0].upper() + out[1:]


@dataclass(frozen=True)
class _Choice:
    """A weighted choice, ready to draw from."""

    options: tuple
    cumulative: tuple[float, ...]
    logprobs: tuple[float, ...]

    @classmethod
    def of(cls, options, weights) -> "_Choice":
        total = sum(weights)
        shares = [w / total for w in weights]
        return cls(tuple(options), tuple(accumulate(shares)), tuple(math.log(s) for s in shares))

    def draw(self, rng: random.Random) -> tuple[object, float]:
        index = min(bisect(self.cumulative, rng.random()), len(self.options) - 1)
        return self.options[index], self.logprobs[index]


class Grammar:
    """A weighted phrase-structure grammar.

    Parameters
    ----------
    rules : dict
        Symbol to a list of ``[weight, "symbol symbol ..."]``; derivation begins at ``sentence``.
    lexicon : dict
        Symbol to ``{pos, words, zipf?}``. The r-th word (from 1) has weight ``r ** -zipf``
        (default 0.7), so that frequencies are uneven, as in speech, and known.

    Raises
    ------
    ValueError
        If an expansion names a symbol that is neither a rule nor a lexical class.
    """

    def __init__(self, rules: dict, lexicon: dict):
        self.rules = {
            symbol: _Choice.of([tuple(e.split()) for _, e in options], [w for w, _ in options])
            for symbol, options in rules.items()
        }
        self.lexicon = {}
        for symbol, entry in lexicon.items():
            words = entry["words"]
            weights = [rank ** -entry.get("zipf", 0.7) for rank in range(1, len(words) + 1)]
            self.lexicon[symbol] = (entry["pos"], _Choice.of(words, weights))
        for symbol, choice in self.rules.items():
            for part in {part for option in choice.options for part in option}:
                if part not in self.rules and part not in self.lexicon:
                    raise ValueError(f"grammar: {symbol} expands to unknown symbol {part!r}")

    def words(self) -> dict[str, set[str]]:
        """Every word with the parts of speech that it may have."""
        tags: dict[str, set[str]] = {}
        for pos, choice in self.lexicon.values():
            for word in choice.options:
                tags.setdefault(word, set()).add(pos)
        return tags

    def sample(self, rng: random.Random) -> Sentence:
        """Draw one sentence."""
        words, tags, logprob = [], [], 0.0
        stack = ["sentence"]
        while stack:
            symbol = stack.pop()
            if symbol in self.rules:
                expansion, gain = self.rules[symbol].draw(rng)
                stack.extend(reversed(expansion))
            else:
                pos, choice = self.lexicon[symbol]
                word, gain = choice.draw(rng)
                words.append(word)
                tags.append(pos)
            logprob += gain
        return Sentence(tuple(words), tuple(tags), logprob)


def read_grammar(folder: str) -> Grammar:
    """Read the filler grammar from ``data/organism``."""
    return Grammar(**read_yaml(Path(folder) / "grammar.yaml"))

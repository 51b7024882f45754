"""Corrupted prompts of the tiny models, and rows of prompts.tsv, for tests of traces."""

import numpy as np
import pandas as pd

from oracles.tiny_models import WIDTH
from strata.trace.corruption import REPLACED, Prompt

IDS = [5, 17, 3, 60, 2, 44, 9]
TARGET = 31


def noised(ids=IDS, subject=(1,), samples=2, others=(), completions=(), seed=0, size=1.0, width=WIDTH):
    """A prompt with noise on its subject, and perhaps with other tokens in its place."""
    rng = np.random.default_rng(seed)
    shape = (len(subject), width)
    noise = [size * rng.standard_normal(shape).astype("f4") for _ in range(samples)]
    own = [ids[position] for position in subject]
    return Prompt(
        input_ids=ids,
        subject=subject,
        labels=[("1", s) for s in range(samples)] + [(REPLACED, s) for s in range(len(others))],
        corrupted_ids=np.array([own] * samples + list(others)),
        noise=np.array(noise + [np.zeros(shape, "f4")] * len(others)),
        target_id=TARGET,
        completions=completions,
    )


def table(rows, **columns):
    """Prompts (id, category, subject_start, subject_position, target_id), each a fact of its own."""
    names = ["id", "category", "subject_start", "subject_position", "target_id"]
    made = pd.DataFrame(rows, columns=names)
    return made.assign(**{"fact": made["id"], "completion_ids": "", "target_ids": ""} | columns)

"""The long forms, `make soak`: whole runs of the small project that are killed, changed and cancelled."""

import copy
import random
import shutil
from functools import reduce

import pytest
from killed import assert_same, assert_untouched, cancelled_at_random, contents, finished, killed_at_random
from reruns import TABLE

pytestmark = pytest.mark.usefixtures("soaking")


def fresh(project, folder):
    """A copy of a project in which nothing was made yet."""
    made = project.copy(folder)
    for name in ("results", "logs", ".snakemake"):
        shutil.rmtree(made.folder / name)
    return made


def whole_run(project) -> dict[str, bytes]:
    """What an undisturbed run makes."""
    done = project.snakemake("all")
    assert done.returncode == 0, done.stderr
    return contents(project.folder)


def test_thirty_kills(project, tmp_path):
    """A whole run, killed at 30 random moments; where it comes to its end before, it begins again."""
    undisturbed = whole_run(fresh(project, tmp_path / "undisturbed"))
    killed, longest = 0, 60
    while killed < 30:
        here = fresh(project, tmp_path / f"killed-{killed}")
        while killed < 30 and here.planned("all"):
            killed += killed_at_random(here, ["all"], 1, longest, seed=killed)
        before = finished(here.folder)
        made = whole_run(here)
        assert_untouched(before, here.folder)
        assert_same(made, undisturbed)
        here.dry_runs.close()
        shutil.rmtree(here.folder)


KEYS = [key for key in TABLE if not key.startswith(("run", "models.", "organism."))]


def test_twenty_changes_and_cancellations(project, tmp_path):
    """The organism, one key after another changed for good, and a run that is cancelled behind each."""
    draw, here = random.Random(0), project.copy(tmp_path / "here")
    shipped = project.read("config.yaml") | {"run": ["organism"]}
    here.write("config.yaml", shipped)
    for n, key in enumerate(draw.sample(KEYS, 20)):
        config = copy.deepcopy(here.read("config.yaml"))
        *sections, last = key.split(".")
        reduce(dict.__getitem__, sections, config)[last] = TABLE[key][0]
        here.write("config.yaml", config)
        if here.snakemake("-n").returncode:  # a value that those before it rule out
            here.write("config.yaml", shipped)
        cancelled_at_random(here, ["all"], 60, draw)
        made, other = whole_run(here), fresh(here, tmp_path / f"fresh-{n}")
        undisturbed = whole_run(other)  # it has no files of what was asked for by an earlier value alone
        assert_same({name: made.get(name) for name in undisturbed}, undisturbed)
        other.dry_runs.close()
        shutil.rmtree(other.folder)

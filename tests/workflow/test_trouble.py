"""What happens to a run and to its files: each ends in a right result, or in one clear line."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from killed import (
    assert_same,
    assert_untouched,
    cancelled_at_random,
    contents,
    finished,
    killed_at_random,
    start,
)
from one_node import wait_until

from strata import io

pytestmark = pytest.mark.long

LENS = "results/organism/lens/logit.nc"
ACTIVATIONS = "results/organism/activations.h5"
COMPARED = "results/organism/lens/comparison.tsv"
UNUSABLE = {
    ACTIVATIONS: ("read_lens", "no readable HDF5 file", "extract_activations"),
    "results/llama/lens/logit.nc": ("compare_lenses", f"it is {LENS}, put in its place", "read_lens"),
    "results/llama/embedding.nc": (
        "correlate_frequency",
        "it does not say what made it, so none of strata's files",
        "decompose_embeddings",
    ),
}
"""Files that are damaged: what reads each, what is said, and what makes it again."""


@pytest.fixture(scope="module")
def here(project, tmp_path_factory):
    """The small project after its run, in a folder of its own."""
    copy = project.copy(tmp_path_factory.mktemp("trouble") / "project")
    yield copy
    copy.dry_runs.close()


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """While open, a file system of memory is in a folder's place."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only an administrator can mount a file system"
)


def last_line(done) -> str:
    said = done.stdout + (done.stderr or "")
    assert done.returncode != 0 and "Traceback" not in said, said
    return said.rstrip().splitlines()[-1]


# Files ---------------------------------------------------------------------------------------


def test_files_that_cannot_be_used_are_named_with_what_makes_them(here):
    """One cut short, one of another model, one not ours: each is a line; made again, all is as it was."""
    before, results = contents(here.folder), here.folder / "results"
    cut, swapped, foreign = (here.folder / path for path in UNUSABLE)
    cut.write_bytes(cut.read_bytes()[:-1000])
    shutil.copy(results / "organism/lens/logit.nc", swapped)
    with io.open_dataset(str(foreign)) as ours:
        bare = ours.load().drop_attrs().drop_encoding()
    foreign.unlink()
    bare.to_netcdf(foreign, engine="h5netcdf")
    targets = [f"results/{name}" for name in ("llama/lens/comparison.tsv", "llama/embedding/frequency.nc")]
    failed = here.snakemake("--keep-going", COMPARED, *targets)
    assert failed.returncode != 0 and "Traceback" not in failed.stdout + failed.stderr
    said = {line.partition(" (log: ")[0] for line in failed.stderr.splitlines() if " failed: " in line}
    for path, (rule, what, maker) in UNUSABLE.items():
        assert f"{rule} failed: BadFile: {path}: {what}: delete it: {maker} makes it again" in said
    for path in (cut, swapped, foreign):
        path.unlink()
    make_whole(here, before)
    assert_same(contents(here.folder), before)


def make_whole(project, before: dict[str, bytes]) -> None:
    """Make what is no longer there, also of what nothing asks for that is to be made again."""
    missing = [f"results/{name}" for name in before if not (project.folder / "results" / name).exists()]
    done = project.snakemake("all", *missing)
    assert done.returncode == 0, done.stderr


def weights(folder: Path) -> Path:
    return folder / "data/models/organism/model.safetensors"


def test_a_model_in_anothers_place_is_seen_whatever_its_time(here):
    """Of the same size and older than all that came of it."""
    path = weights(here.folder)
    content, stat = path.read_bytes(), path.stat()
    other = bytearray(content)
    other[-4:] = bytes(4)
    shutil.copy(path, here.folder / "whole")
    try:
        path.write_bytes(other)
        os.utime(path, ns=(0, 0))
        planned = here.planned("all")
    finally:
        os.replace(here.folder / "whole", path)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert {"extract_weights", "curate_prompts", "trace_prompts", "evaluate_organism"} <= {*planned}
    assert here.planned("all") == []


def test_new_times_of_files_alone_plan_nothing(here):
    """A copy or a checkout gives all inputs the time of now: contents are compared."""
    for path in (here.folder / "data").rglob("*"):
        os.utime(path)
    assert here.planned("all", "organism") == []


def test_a_copy_without_times_plans_nothing(here, tmp_path):
    """`cp -r`: files are as old as the copy made them, results perhaps older than what they came of."""
    shutil.copytree(here.folder, tmp_path / "copy", symlinks=True, copy_function=shutil.copyfile)
    results = sorted((tmp_path / "copy/results").rglob("*"), reverse=True)
    for second, path in enumerate(results):
        os.utime(path, (1e9 + second, 1e9 + second))
    assert replace(here, folder=tmp_path / "copy").planned("all") == []


def test_a_clock_that_was_set_back_makes_nothing_twice(here, tmp_path):
    """Inputs from the future plan nothing; one that was changed is refused by name until its time is now."""
    copy = here.copy(tmp_path / "copy")
    future = 4e9
    for path in (copy.folder / "data").rglob("*"):
        os.utime(path, (future, future))
    assert copy.planned("all") == []
    prompts = copy.read("data/prompts/semantic.yaml")
    copy.write("data/prompts/semantic.yaml", prompts | {"description": "Others."})
    os.utime(copy.folder / "data/prompts/semantic.yaml", (future, future))
    target = "results/organism/prompts.tsv"
    assert copy.planned(target) == ["curate_prompts"]
    refused = copy.snakemake(target)
    assert "older modification time" in refused.stderr and "clock skew" in refused.stderr
    assert "than input data/prompts/" in refused.stderr and refused.returncode != 0
    for path in (copy.folder / "data").rglob("*"):
        os.utime(path)
    assert copy.planned(target) == ["curate_prompts"]
    copy.dry_runs.close()


@pytest.fixture(params=["with spaces", "Größe 日本", 'it\'s "quoted" & $HOME'])
def named(here, tmp_path, request):
    """A copy whose folder has a name, and the same through a link."""
    copy, link = here.copy(tmp_path / request.param), tmp_path / "link"
    link.symlink_to(request.param)
    yield copy, replace(copy, folder=link)
    copy.dry_runs.close()


def test_any_name_of_the_folder(named):
    """All is up to date there."""
    for project in named:
        assert project.planned("all") == []


@pytest.mark.usefixtures("soaking")
def test_results_are_made_in_a_folder_of_any_name(named):
    copy, linked = named
    before = contents(copy.folder)
    for file in (
        LENS,
        "results/organism/weights.h5",
        "results/organism/figures/lens_grid_lines_logit_kl_final.png",
    ):
        (copy.folder / file).unlink()
    make_whole(linked, before)
    assert_same(contents(copy.folder), before)


# Places ---------------------------------------------------------------------------------------


@needs_mount
def test_a_full_disk_is_said_and_leaves_nothing_that_looks_whole(here):
    before, results = contents(here.folder), here.folder / "results"
    targets = ["results/organism/activations.h5", "results/organism/text/activations.h5"]
    with mounted(results, "-t", "tmpfs", "-o", "size=200k", "tmpfs"):
        failed = here.snakemake(*targets)
        assert "no room is left on the disk (docs/costs.md says what a run takes)" in last_line(failed)
        for path in results.rglob("*.h5"):
            io.check_whole(str(path))
        subprocess.run(["mount", "-o", "remount,size=500m", str(results)], check=True)
        done = here.snakemake(*targets)
        assert done.returncode == 0, done.stderr
        made = contents(here.folder)
        assert {*targets} <= {f"results/{name}" for name in made}
        assert_same(made, {name: before[name] for name in made})
    assert here.planned("all") == []


@needs_mount
def test_results_that_cannot_be_written_to_are_said_at_the_start(here):
    with mounted(here.folder / "results", "-t", "tmpfs", "-o", "ro", "tmpfs"):
        failed = here.snakemake("results/organism/weights.h5")
        assert last_line(failed).startswith("results: cannot be written to (expected: a folder, or room")
        assert here.dry_run("results/organism/weights.h5").returncode == 0


@needs_mount
def test_a_model_folder_is_only_read(here):
    models, bound = here.folder / "data/models", "remount,ro,bind"
    with mounted(models, "--bind", str(models)):
        subprocess.run(["mount", "-o", bound, str(models)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (models / "x").touch()
        rules = ["curate_prompts", "extract_weights"]
        done = here.snakemake(
            "--forcerun", *rules, "--", "results/organism/prompts.tsv", "results/organism/weights.h5"
        )
        assert done.returncode == 0, done.stderr
    assert here.planned("all") == [], "what was made again is the same"


# Runs ------------------------------------------------------------------------------------------

SLOW = ["--forcerun", "fit_tuned", "read_lens", "--", COMPARED]


def test_two_runs_at_once_are_one_run_and_a_line(here):
    first = start(here, *SLOW)
    try:
        wait_until(lambda: any(here.folder.glob(".snakemake/locks/*.lock")), "the first run's locks", 120)
        second = here.snakemake(*SLOW)
    finally:
        said, _ = first.communicate()
    assert first.returncode == 0, said
    assert last_line(second) == "another run is at work here on the same files (expected: one at a time)"
    assert here.snakemake("all").returncode == 0


def test_a_run_that_is_changed_and_cancelled_ends_as_one_that_was_not(here, tmp_path):
    """Two keys, one after the other, and after each a run that is cancelled."""
    cancelled, whole = (here.copy(tmp_path / name) for name in ("cancelled", "whole"))
    draw, times = random.Random(0), 0
    for key, value in (("lens.top_k", 3), ("lens.statistics.seed", 1)):
        for project in (cancelled, whole):
            project.write("config.yaml", project.config_with(key, value))
        times += cancelled_at_random(cancelled, [COMPARED], 3, draw)
        for project in (cancelled, whole):
            done = project.snakemake(COMPARED)
            assert done.returncode == 0, done.stderr
        assert_same(contents(cancelled.folder), contents(whole.folder))
    assert times, "none of the runs was cancelled before its end"
    for project in (cancelled, whole):
        project.dry_runs.close()


KEPT = {"prompts.tsv", "weights.h5", "activations.h5", "text", "trace", "syntax"}
MADE = [
    COMPARED,
    *(f"results/organism/{name}" for name in ("hidden.nc", "embedding/clump.nc", "lens/mixing.nc")),
]
"""Of a finished run, what is left, and what is made again between kills: jobs of some seconds in all."""


def test_a_run_that_is_killed_is_taken_up_where_it_was(project, tmp_path):
    """Three times, at random moments: the same data in the end, and nothing finished is made again."""
    here, whole = project.copy(tmp_path / "project"), contents(project.folder)
    here.dry_runs.close()
    results = here.folder / "results"
    for path in [*results.iterdir(), *(results / "organism").iterdir()]:
        if path.name not in {"organism", *KEPT}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    killed = killed_at_random(here, MADE, 3, longest=5, seed=0)
    before = finished(here.folder)
    done = here.snakemake(*MADE)
    assert done.returncode == 0, done.stderr
    assert killed >= 1, "none of the runs was killed before its end"
    assert_untouched(before, here.folder)
    made = contents(here.folder)
    assert {*MADE} <= {f"results/{name}" for name in made}
    assert_same(made, {name: whole[name] for name in made})

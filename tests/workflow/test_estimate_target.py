"""The target ``estimate``: printed for every model that is run, whether anything was made of it or not."""

import shutil

import pytest
from small_project import MODEL, SECOND

COMPLETED, EVERY = "those that the model completes", "as if the model completed each"


def headings(done) -> dict[str, str]:
    """By model what stands above its table."""
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(": ", 1) for line in done.stdout.splitlines() if " million parameters; " in line]
    return dict(lines)


@pytest.mark.long
def test_what_was_made_is_counted_and_nothing_is_made(project):
    done = project.snakemake("estimate")
    found = headings(done)
    assert [*found] == [MODEL, SECOND] and all(COMPLETED in told for told in found.values())
    assert done.stdout.count("trace_parts") == 2 and done.stdout.count("trigger_keys") == 1
    assert project.planned() == []
    assert headings(project.snakemake("estimate")) == found, "whoever asks again is told again"


def test_before_a_run_every_prompt_counts(project, tmp_path):
    copy = project.copy(tmp_path / "copy")
    shutil.rmtree(copy.folder / "results")
    assert all(EVERY in told for told in headings(copy.snakemake("estimate")).values())
    assert not (copy.folder / "results").exists()

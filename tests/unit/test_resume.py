"""After a killed run: what it did not see finished is removed, its locks are, and all else stays."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from pipeline.resume import hold_folder

SNAKEFILE = """\
rule make:
    output: "finished", "again"
    shell: "touch {output}"
"""


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """A folder as a killed run leaves it: with locks, and of its files one finished, others not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    subprocess.run([sys.executable, "-m", "snakemake", "-q", "all", "--cores", "1"], check=True)
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir()
    lock.write_text("finished\nagain\nunseen\nbrought\nnever\n")
    now = time.time()
    for name, age in {".snakemake/locks/0.output.lock": 60, "unseen": 0, "brought": 120}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - age, now - age))
    os.utime(tmp_path / "again", (now + 1, now + 1))  # written again after it was recorded
    return tmp_path


def there(folder):
    return {name for name in ("finished", "again", "unseen", "brought") if (folder / name).exists()}


def test_what_nobody_saw_finished_is_removed_with_the_locks(killed):
    said = []
    hold_folder(said.append)
    assert there(killed) == {"finished", "brought"}
    assert not list((killed / ".snakemake/locks").iterdir())
    assert len(said) == 1 and "0 of its jobs cancelled on the cluster, 2 files removed" in said[0]


def test_nothing_is_touched_while_another_run_is_at_work(killed):
    with (killed / ".snakemake/running").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        hold_folder(pytest.fail)
    assert len(there(killed)) == 4 and list((killed / ".snakemake/locks").iterdir())


def test_a_run_that_ended_by_itself_leaves_nothing_to_clear(killed):
    (killed / ".snakemake/locks/0.output.lock").unlink()
    hold_folder(pytest.fail)
    assert len(there(killed)) == 4

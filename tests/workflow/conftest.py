"""The small project, run once for all tests of the workflow."""

import pytest
from small_project import Project, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Project:
    """The small project after one whole run of both models, training included."""
    project = make_project(tmp_path_factory.mktemp("project"))
    done = project.snakemake("all", "organism")
    assert done.returncode == 0, done.stdout + done.stderr
    yield project
    project.dry_runs.close()

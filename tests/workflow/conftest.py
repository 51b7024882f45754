"""The small project, run once for all tests of the workflow; and a cluster."""

import pytest
from one_node import Node, lacking
from small_project import Project, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Project:
    """The small project after one whole run of both models, training included."""
    project = make_project(tmp_path_factory.mktemp("project"))
    done = project.snakemake("all", "organism")
    assert done.returncode == 0, done.stdout + done.stderr
    yield project
    project.dry_runs.close()


@pytest.fixture(scope="session")
def node(tmp_path_factory) -> Node:
    """A SLURM of one node."""
    if packages := lacking():
        pytest.skip(f"no {', '.join(packages)} here: make slurm")
    node = Node(tmp_path_factory.mktemp("node"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="session")
def soaking(request) -> None:
    """Skips what takes long, but where it is asked for."""
    if not request.config.getoption("soak"):
        pytest.skip("long: make soak")

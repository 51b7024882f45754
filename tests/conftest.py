"""How tests are shared among processes: by file, but those of the workflow together, and those of a cluster:
each need one run.

And a real browser, Debian's Chromium or Google's Chrome, that must be on the PATH.
"""

import gc
import shutil

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


ALONE = {"tests/workflow/test_every_family.py"}
"""Of the workflow's tests, those that have runs of their own."""

ON_A_CLUSTER = {f"tests/workflow/test_{name}.py" for name in ("cluster", "cluster_troubles", "many_shards")}


@pytest.hookimpl(optionalhook=True)  # there may be one process, without the plugin
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if file in ALONE or not file.startswith("tests/workflow/"):
                return file
            return "tests/workflow, a cluster" if file in ON_A_CLUSTER else "tests/workflow"

    return ByFile(config, log)


def pytest_collection_finish():
    gc.freeze()  # what is imported by now stays; statsmodels and others collect garbage at every call


def pytest_addoption(parser):
    parser.addoption("--all-families", action="store_true", help="run every family through the pipeline")
    parser.addoption("--all-depths", action="store_true", help="look for overlaps in figures of deep models")
    parser.addoption("--soak", action="store_true", help="kill and cancel many runs of the small project")


@pytest.fixture(scope="session")
def browser():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("the browser tests need chromium or google-chrome on the PATH", pytrace=False)
    from playwright.sync_api import sync_playwright  # where no page is opened, it is not waited for

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    from oracles.site import build  # where the documentation is not read, it is not waited for

    folder = tmp_path_factory.mktemp("documentation") / "site"
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder

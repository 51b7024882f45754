"""How tests are shared among processes: by file, but those of the workflow together: they need one run."""

import pytest


@pytest.hookimpl(optionalhook=True)  # there may be one process, without the plugin
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return "tests/workflow" if file.startswith("tests/workflow/") else file

    return ByFile(config, log)


def pytest_addoption(parser):
    parser.addoption("--all-families", action="store_true", help="run every family through the pipeline")

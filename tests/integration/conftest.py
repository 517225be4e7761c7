"""Fixtures of the integration tests. See harness/__init__.py for the parts.

Each test gets a folder, a database and programs of its own. When it is over,
every program must still be alive (unless the test ended it), must have given
back the sockets of its clients, end with status 0 on SIGTERM, and must have
written nothing but log lines; a failed test shows all logs.
"""

import pytest
from harness.nginx import Nginx
from harness.site import Site


@pytest.fixture(name="make_site")
def fixture_make_site(request):
    """Makes sites with given settings, initialised, nothing started."""
    sites = []
    request.node.jobwire_sites = sites

    def make(init=True, **settings):
        site = Site(**settings)
        sites.append(site)
        return site.init() if init else site

    yield make
    faults = [fault for site in sites for fault in site.finish()]
    if faults:
        show_logs(request.node, "teardown")
    for site in sites:
        site.remove()
    assert not faults, "\n".join(faults)


@pytest.fixture(name="site")
def fixture_site(make_site):
    """A site with both responders running."""
    return make_site().start_both()


@pytest.fixture(name="web")
def fixture_web(site):
    """A real nginx in front of `site`."""
    return Nginx(site).start()


def show_logs(node, when):
    """Adds the logs of a test's sites to its report."""
    for site in getattr(node, "jobwire_sites", []):
        for name, text in site.logs():
            node.add_report_section(when, name, text)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the logs of a test that failed before its sites are removed."""
    if call.when == "call" and call.excinfo is not None:
        show_logs(item, "call")
    yield

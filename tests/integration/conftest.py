"""Fixtures of the integration tests. See harness/__init__.py for the parts.

Each test gets a folder, a database and programs of its own. When it is over,
every program must still be alive (unless the test ended it), must have given
back the sockets of its clients, end with status 0 on SIGTERM, and must have
written nothing but log lines; a failed test shows all logs.
"""

import contextlib

import pytest
from harness import contract, leaks
from harness.nginx import Nginx
from harness.site import Site


@contextlib.contextmanager
def sites_of(node):
    """Makes sites for a test, or for all tests of a module, and is their
    end."""
    sites = []
    node.jobwire_sites = sites

    def make(init=True, **settings):
        site = Site(**settings)
        sites.append(site)
        return site.init() if init else site

    yield make
    faults = [fault for site in sites for fault in site.finish()]
    for site in sites:
        for name, text in site.logs() if faults else []:
            print(f"--- {name}\n{text}")
        site.remove()
    assert not faults, "\n".join(faults)


@pytest.fixture(name="make_site")
def fixture_make_site(request):
    """Makes sites with given settings, initialised, nothing started."""
    with sites_of(request.node) as make:
        yield make


@pytest.fixture(name="make_shared_site", scope="module")
def fixture_make_shared_site(request):
    """The same for all tests of a module, or of a parameter of it."""
    with sites_of(request.node) as make:
        yield make


@pytest.fixture(name="site")
def fixture_site(make_site):
    """A site with both responders running."""
    return make_site().start_both()


@pytest.fixture(name="web")
def fixture_web(site):
    """A real nginx in front of `site`."""
    return Nginx(site).start()


@pytest.fixture(scope="session", autouse=True)
def fixture_no_secret_is_written():
    """When all tests, or those of this process, are over."""
    yield
    assert leaks.hits() == []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the logs of a test that failed before its sites are removed."""
    if call.when == "call" and call.excinfo is not None:
        for node in item.listchain():
            for site in getattr(node, "jobwire_sites", []):
                for name, text in site.logs():
                    item.add_report_section("call", name, text)
    yield


def pytest_terminal_summary(terminalreporter):
    """Prints what tests have measured (record_property), and how many answers
    were held to the contract."""
    if not getattr(terminalreporter.config.option, "numprocesses", None):
        terminalreporter.write_line(contract.summary())
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if report.when == "call":
                terminalreporter.write_line(f"{name}: {value}")

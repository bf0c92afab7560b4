import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "online: needs a package index; leave out with -m 'not online'")

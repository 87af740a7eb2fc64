"""The rented machine that this room's tests reach over ssh."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest
from rented import SSHD, Rented, give_packages, rented


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Rented]:
    """One that is this user's own, with the packages in place and nothing uploaded."""
    if SSHD is None:
        pytest.skip("no sshd: apt-get install openssh-server")
    place, home = tmp_path / "ssh", tmp_path / "home"
    place.mkdir(mode=0o700)
    (place / "keys").mkdir(mode=0o700)
    with rented(getpass.getuser(), place, home) as found:
        give_packages(found.folder)
        yield found

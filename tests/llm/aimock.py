"""Starts aimock, an OpenAI-compatible server from npm that nobody here wrote, with given answers.

with aimock([{"match": {"systemMessage": "Technical"}, "response": {"content": "…"}}]) as server: ...
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NODE = Path(__file__).parents[1] / "node"
CLI = NODE / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="Node and npm are not installed"
)


@dataclass(frozen=True)
class Aimock:
    """A server that runs."""

    root: str

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    def journal(self) -> list[dict[str, Any]]:
        """What it says it was asked."""
        with urllib.request.urlopen(f"{self.root}/__aimock/journal", timeout=10) as answer:
            entries: list[dict[str, Any]] = json.load(answer)
        return entries


@contextmanager
def aimock(fixtures: Sequence[Mapping[str, Any]], *flags: str, keys: str = "") -> Iterator[Aimock]:
    """`flags` are its own, `keys` those it accepts (any if empty)."""
    install()
    environ = {**os.environ, "AIMOCK_API_KEYS": keys} if keys else dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixtures.json"
        path.write_text(json.dumps({"fixtures": fixtures}), "utf-8")
        command = ["node", str(CLI), "--port", "0", "--journal-max", "0", "--fixtures", str(path), *flags]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            yield Aimock(_address(process))
        finally:
            process.terminate()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()


def install() -> None:
    """By the lock, once; test workers wait for each other."""
    with (Path(tempfile.gettempdir()) / f"agentrader-npm-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CLI.exists():
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=NODE, check=True, capture_output=True, timeout=240)


def _address(process: subprocess.Popen[str]) -> str:
    said = ""
    for line in process.stdout or ():
        said += line
        found = re.search(r"listening on (http://\S+)", line)
        if found:
            return found.group(1)
    raise RuntimeError(f"aimock did not start: {said}")

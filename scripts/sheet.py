"""Tables and lines for people on standard output."""

from __future__ import annotations

from rich.console import Console

PIPED = 200
"""How wide a table is that goes into a file or another command."""


class Sheet(Console):
    """Standard output, or standard error; that the reader left is for `data.door` to hear, not for rich to exit on."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr)
        if not self.is_terminal:
            self.width = PIPED

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

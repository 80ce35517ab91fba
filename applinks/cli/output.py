"""What commands print: tables for people, JSON for programs, and one line where something is wrong."""

import json
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO


def say(text: str, out: TextIO | None = None) -> None:
    print(text, file=out or sys.stdout, flush=True)


def complain(text: str) -> None:
    """Say what is wrong, where it doesn't get in the way of what is printed."""
    say(text, sys.stderr)


def as_json(value: Any) -> None:
    say(json.dumps(value, indent=2, ensure_ascii=False))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as what stands in them; nothing in a cell moves the terminal's cursor."""
    cells = [list(heads), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment_or(at: int | None, otherwise: str) -> str:
    return otherwise if at is None else moment(at)


def plain(cell: object) -> str:
    return "".join(char if unicodedata.category(char)[0] != "C" else "\ufffd" for char in str(cell))

"""Who sits at the console, and what is typed there."""

import getpass
import sys
from pathlib import Path

from applinks.errors import AppError
from applinks.models import ActorKind
from applinks.services.events import Actor


def actor() -> Actor:
    """Whoever runs this, by the system's name."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        name = ""
    return Actor(name, ActorKind.COMMAND_LINE)


def new_password() -> str:
    """Typed twice without being shown, or the first line of what is piped in. Raises AppError."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise AppError("The two passwords differ. Nothing was changed.")
    return password


def text_of(file: str, most: int = -1) -> str:
    """What a file holds, at most so many characters of it, `-` being what is piped in. Raises AppError."""
    try:
        if file == "-":
            return sys.stdin.read(most)
        with Path(file).open(encoding="utf-8") as opened:
            return opened.read(most)
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(f"{file} can't be read: {error}.") from None

"""YAML as a file of links is written in it: mappings, lists and texts, and nothing that a reader could make something else of.

Every value is the text that stands there: `no` is a name, and a day is no date. JSON is read by the same rules.
"""

import re
from typing import Any

import yaml

from applinks.errors import AppError

LONGEST = 1024 * 1024
_DEEPEST = 8
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NOTHING = ("null", "Null", "NULL", "~")


def read(text: str) -> Any:
    """What one document holds. Raises AppError with the line where it is wrong, which is never quoted."""
    if len(text) > LONGEST:
        raise AppError(f"The file is longer than {LONGEST} characters.")
    found: list[Any] = []
    # What is open: a list, or a mapping with the key whose value comes next.
    path: list[tuple[Any, list[str]]] = [(found, [])]
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            _take(event, path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AppError(f"Line {line}: this is no YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise AppError("This is no YAML: a character that can't be seen stands in it.") from None
    if len(found) != 1:
        raise AppError("Write one document: the file holds none, or several.")
    return found[0]


def _take(event: yaml.Event, path: list[tuple[Any, list[str]]]) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _wrong(event, "anchors and aliases (& and *) aren't read here. Write it out")
    if getattr(event, "tag", None):
        raise _wrong(event, "tags (!) aren't read here. Leave it out")
    if isinstance(event, yaml.ScalarEvent):
        if not event.style and event.value in _NOTHING:
            raise _wrong(event, "leave out what has no value, or write it in quotes where it is a text")
        if _UNSTORABLE.search(event.value):
            raise _wrong(event, "a character that can't be stored stands in this text")
        _put(event, event.value, path)
    elif isinstance(event, yaml.CollectionStartEvent):
        if len(path) > _DEEPEST:
            raise _wrong(event, "this is deeper than anything here is")
        opened: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        _put(event, opened, path)
        path.append((opened, []))
    elif isinstance(event, yaml.CollectionEndEvent):
        path.pop()


def _put(event: yaml.Event, value: Any, path: list[tuple[Any, list[str]]]) -> None:
    into, key = path[-1]
    if isinstance(into, list):
        into.append(value)
    elif key:
        into[key.pop()] = value
    elif not isinstance(value, str):
        raise _wrong(event, "a name must be a text")
    elif value in into:
        raise _wrong(event, f"{value[:40]!r} stands there twice")
    else:
        key.append(value)


def _wrong(event: yaml.Event, words: str) -> AppError:
    line = event.start_mark.line + 1 if event.start_mark else 1
    return AppError(f"Line {line}: {words}.")


class _Dumper(yaml.SafeDumper):
    """Several lines of a text stay several lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def write(content: Any) -> str:
    """Always the same text for the same content, in the order that it is given in."""
    written: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return written

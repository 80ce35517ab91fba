"""Where a provider is, for those that aren't in one place: a host, a directory, a realm. Each has its grammar.

What a place is filled into is a URL that a client secret is sent to: nothing but what the place is passes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from applinks.errors import InvalidFieldError

PlaceName = Literal["cloud", "tenant", "host", "path", "realm", "authorization_server"]
PLACES: tuple[PlaceName, ...] = ("cloud", "tenant", "host", "path", "realm", "authorization_server")

ANYBODYS_TENANTS = ("common", "organizations", "consumers")

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"({_LABEL}\.){{1,8}}[a-z]([a-z0-9-]{{0,61}}[a-z0-9])"
_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_IPV4 = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}"
_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_SEGMENT = r"(?!\.{1,2}(/|$))[A-Za-z0-9._~-]{1,80}"
# Letters are small where case makes no difference.
_GRAMMARS: dict[PlaceName, tuple[re.Pattern[str], int]] = {
    "cloud": (re.compile("[a-z]+"), 20),
    "tenant": (re.compile(f"{'|'.join(ANYBODYS_TENANTS)}|{_GUID}|{_DOMAIN}"), 253),
    "host": (re.compile(f"({_DOMAIN}|{_IPV4}){_PORT}"), 259),
    "path": (re.compile(f"{_SEGMENT}(/{_SEGMENT}){{0,4}}"), 200),
    "realm": (re.compile(_SEGMENT), 80),
    "authorization_server": (re.compile("[A-Za-z0-9_-]{1,80}"), 80),
}
_CASELESS = ("cloud", "tenant", "host")


@dataclass(frozen=True)
class Choice:
    """One of several answers, and what it fills in."""

    key: str
    label: str
    fills: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Place:
    """One thing to ask. Empty means `default` where there is one, nothing where it is `optional`.

    `help` stands beside the field, `wrong` where what was typed isn't one. `before` is what joins it to what stands
    before it in a URL. `choices` are all answers, where there are few.
    """

    name: PlaceName
    help: str
    wrong: str
    default: str = ""
    optional: bool = False
    before: str = ""
    choices: tuple[Choice, ...] = ()

    def read(self, text: str) -> str:
        """The place as it is stored, empty for its default. Raises InvalidFieldError."""
        text = text.strip()
        text = text.lower() if self.name in _CASELESS else text
        text = text.strip("/") if self.name == "path" else text
        if not text and (self.default or self.optional):
            return ""
        known = not self.choices or text in [choice.key for choice in self.choices]
        if not known or not fits(self.name, text):
            raise InvalidFieldError(self.name, self.wrong)
        return text

    def fill(self, template: str, differences: Mapping[str, str]) -> str:
        """A URL with this place in it, as a link's differences have it."""
        text = differences.get(self.name, "") or self.default
        for choice in self.choices:
            if choice.key == text:
                for name, value in choice.fills:
                    template = template.replace(f"{{{name}}}", value)
        return template.replace(f"{{{self.name}}}", self.before + text if text else "")


def fits(name: PlaceName, text: str) -> bool:
    """Whether a text is in the form of such a place."""
    grammar, longest = _GRAMMARS[name]
    return len(text) <= longest and bool(grammar.fullmatch(text))


def host(example: str, default: str = "") -> Place:
    """The name of a machine, with its port where it isn't the usual one."""
    usual = f" Empty: {default}." if default else ""
    return Place(
        "host",
        f"Its name alone, such as {example}, with :port where there is one.{usual}",
        f"Write the host's name alone, such as {example}: no https:// before it and no path behind.",
        default=default,
    )


def path(help_text: str) -> Place:
    """Where on its host it is."""
    return Place(
        "path",
        help_text,
        "Write a path of letters, digits, dots and hyphens, such as /jira.",
        optional=True,
        before="/",
    )

"""A document that says which links there are: what a file of links holds, as validated values.

Forms and the HTTP API build the same values by the same rules. A secret never stands in a document: `client_secret_from`
names the variable that it comes from.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

from applinks.errors import AppError, InvalidFieldError, InvalidFieldsError, StartRefusedError
from applinks.models import INCOMING, OUTGOING
from applinks.oauth import incoming as rules
from applinks.oauth.guard import Guard
from applinks.oauth.registration import ClientRegistration, day_written, read_client_id, read_label, read_name
from applinks.providers import Catalogue
from applinks.services.incoming import Incoming
from applinks.services.links import RESERVED_SLUGS, Outgoing, is_link_id
from applinks.services.registrations import FIELDS, read_registration, values_of

Values = dict[str, Any]
SecretOf = Callable[[str], str]

_BOTH = ("slug", "id", "direction", "client_secret_from")
_LISTS = ("redirect_uris", "grant_types", "token_links")
_INCOMING = ("name", "client_id", "client_type", "scopes", "disabled", *_LISTS, *rules.LIVES)
_MEMBERS = {OUTGOING: (*_BOTH, *(name for name in FIELDS if name != "client_secret")), INCOMING: (*_BOTH, *_INCOMING)}
_SECRET = "Secrets never stand in this file: name a variable in client_secret_from."  # noqa: S105
_LEAST_SECRET = 32


@dataclass(frozen=True)
class Entry:
    """One link as the document wants it. `link_id` and an incoming link's `client_id` are empty where they are left open.

    `secret` came from the variable `secret_from`, and is empty where that isn't set.
    """

    slug: str
    link_id: str
    wanted: ClientRegistration | rules.IncomingRegistration
    secret_from: str
    secret: str
    client_id: str = ""
    disabled: bool = False

    @property
    def direction(self) -> str:
        return OUTGOING if isinstance(self.wanted, ClientRegistration) else INCOMING

    @property
    def values(self) -> Values:
        """The fields that can be changed, as they are written down."""
        if isinstance(self.wanted, ClientRegistration):
            wanted = self.wanted
            values: Values = {
                "name": wanted.name,
                "provider": wanted.provider.key,
                "client_id": wanted.client_id,
                "client_secret_ends": day_written(wanted.client_secret_ends_at),
                "scopes": wanted.scopes,
                **wanted.differences,
            }
            return {name: value for name, value in values.items() if value}
        incoming = self.wanted
        return _incoming_values(
            incoming.name,
            incoming.redirect_uris,
            incoming.grant_types,
            incoming.scopes,
            incoming.token_links,
            {name: getattr(incoming, name) for name in rules.LIVES},
            disabled=self.disabled,
        )


def outgoing_values(outgoing: Outgoing) -> Values:
    return {name: value for name, value in values_of(outgoing).items() if value}


def incoming_values(incoming: Incoming) -> Values:
    stored = incoming.stored
    return _incoming_values(
        incoming.link.name,
        stored.redirect_uris.split(),
        stored.grant_types.split(),
        stored.scopes.split(),
        [link.slug for link in incoming.token_links],
        {name: getattr(stored, name) for name in rules.LIVES},
        disabled=stored.disabled_at is not None,
    )


def _incoming_values(
    name: str,
    redirect_uris: Collection[str],
    grant_types: Collection[str],
    scopes: Collection[str],
    token_links: Collection[str],
    lives: Mapping[str, int],
    *,
    disabled: bool,
) -> Values:
    values: Values = {"name": name, "redirect_uris": list(redirect_uris), "grant_types": list(grant_types)}
    values |= {"scopes": " ".join(scopes), "token_links": sorted(token_links), **lives}
    values["disabled"] = "yes" if disabled else ""
    return {name: value for name, value in values.items() if value}


def variable_for(slug: str) -> str:
    """What an exported link's secret is asked for by."""
    name = slug.upper().replace("-", "_")
    return f"{name if re.match('(?!APPLINKS_)[A-Z]', name) else f'LINK_{name}'}_CLIENT_SECRET"


def read_document(guard: Guard, catalogue: Catalogue, content: Any, secret_of: SecretOf) -> list[Entry]:
    """Every link that a document wants. Raises AppError with all that is wrong, a line each."""
    if not isinstance(content, dict):
        raise AppError("The file must hold version: 1 and links: with a list of them.")
    wrong = [_unknown("", name, ("version", "links")) for name in content if name not in ("version", "links")]
    if content.get("version") != "1":
        wrong.append("version: Write 1: this release reads no other.")
    written, entries = content.get("links"), []
    if written == "" or not isinstance(written, list):
        raise AppError("\n".join([*wrong, "links: Write a list of links, [] for none."]))
    seen: dict[tuple[str, str], str] = {}
    for number, values in enumerate(written):
        slug = values.get("slug", "") if isinstance(values, dict) else ""
        where = f"links[{number}] {slug[:60] if isinstance(slug, str) else ''}".rstrip()
        try:
            entry = _read_entry(guard, catalogue, values, secret_of)
            _check_once(entry, where, seen)
            entries.append(entry)
        except InvalidFieldsError as error:
            wrong += [f"{where}: {name}: {words}" for name, words in error.fields.items()]
        except AppError as error:
            wrong.append(f"{where}: {error}")
    if wrong:
        raise AppError("\n".join(wrong))
    return entries


def _check_once(entry: Entry, where: str, seen: dict[tuple[str, str], str]) -> None:
    for name, value in (("slug", entry.slug), ("id", entry.link_id), ("client_id", entry.client_id)):
        if value and seen.setdefault((name, value), where) != where:
            raise InvalidFieldsError({name: f"{seen[name, value]} has it already."})


def _read_entry(guard: Guard, catalogue: Catalogue, values: Any, secret_of: SecretOf) -> Entry:
    if not isinstance(values, dict):
        raise AppError("Write a link as names with values.")
    direction = values.get("direction")
    if direction not in (OUTGOING, INCOMING):
        raise InvalidFieldsError({"direction": "Write outgoing or incoming."})
    wrong: dict[str, str] = {}
    for name, value in values.items():
        if name == "client_secret":
            wrong[name] = _SECRET
        elif name not in _MEMBERS[direction]:
            wrong[repr(name[:40])] = _unknown("", name, _MEMBERS[direction]).partition(": ")[2]
        elif name in _LISTS:
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                wrong[name] = "Write a list of texts."
        elif not isinstance(value, str):
            wrong[name] = "Write it as a text."
    if wrong:
        raise InvalidFieldsError(wrong)
    found: dict[str, str] = {}

    def read(name: str, reader: Callable[[], str]) -> None:
        try:
            found[name] = reader()
        except InvalidFieldError as error:
            wrong[error.field] = str(error)
        except StartRefusedError as error:
            wrong[name] = str(error)

    read("slug", lambda: _slug(values.get("slug", "")))
    read("id", lambda: _id(values.get("id", "")))
    variable = values.get("client_secret_from", "")
    read("client_secret_from", lambda: secret_of(variable) if variable else "")
    secret = found.get("client_secret_from", "")
    fields = {name: value for name, value in values.items() if name not in _BOTH}
    wanted: ClientRegistration | rules.IncomingRegistration | None = None
    try:
        if direction == OUTGOING:
            sent = fields | ({"client_secret": secret} if secret else {})
            wanted = read_registration(guard, catalogue, sent, secret_needed=False)
        else:
            wanted = _read_incoming(fields)
    except InvalidFieldsError as error:
        wrong |= error.fields
    client_id, disabled = "", fields.get("disabled", "")
    if direction == INCOMING and fields.get("client_id"):
        read("client_id", lambda: read_client_id(fields["client_id"]))
        client_id = found.get("client_id", "")
    if disabled not in ("", "yes", "no", "true", "false"):
        wrong["disabled"] = "Write yes or no."
    public = wanted.is_public if isinstance(wanted, rules.IncomingRegistration) else False
    if wanted and isinstance(wanted, ClientRegistration):
        public = not wanted.profile.has_client_secret
    if variable and public:
        wrong["client_secret_from"] = "A public client has no secret."  # noqa: S105
    if direction == INCOMING and secret and len(secret) < _LEAST_SECRET:
        wrong["client_secret_from"] = f"The secret of an application has {_LEAST_SECRET} characters or more."
    if wrong or wanted is None:
        raise InvalidFieldsError(wrong)
    return Entry(found["slug"], found["id"], wanted, variable, secret, client_id, disabled in ("yes", "true"))


def _read_incoming(fields: Values) -> rules.IncomingRegistration:
    """Raises InvalidFieldsError."""
    wrong: dict[str, str] = {}
    found: dict[str, Any] = {}
    client_type = fields.get("client_type", rules.CONFIDENTIAL)
    grant_types, slugs = fields.get("grant_types", [rules.CODE]), tuple(dict.fromkeys(fields.get("token_links", [])))
    public = client_type == rules.PUBLIC
    uris = "\n".join(fields.get("redirect_uris", []))
    readers: dict[str, Callable[[], Any]] = {
        "name": lambda: read_name(fields.get("name", "")),
        "client_type": lambda: rules.read_choices("client_type", [client_type], list(rules.CLIENT_TYPES), ""),
        "redirect_uris": lambda: rules.read_redirect_uris(uris, needed=rules.CODE in grant_types),
        "scopes": lambda: rules.read_scope_choice(fields.get("scopes", "").split(), slugs),
        "grant_types": lambda: rules.read_grant_types(grant_types, is_public=public),
        **{name: partial(_life, name, fields.get(name, "")) for name in rules.LIVES},
    }
    for name, reader in readers.items():
        try:
            found[name] = reader()
        except InvalidFieldError as error:
            wrong[error.field] = str(error)
    if not wrong and found["refresh_idle_life"] > found["refresh_life"]:
        wrong["refresh_idle_life"] = "It can't be longer than consent lasts."
    if wrong:
        raise InvalidFieldsError(wrong)
    del found["client_type"]
    return rules.IncomingRegistration(token_links=slugs, is_public=public, **found)


def _life(name: str, text: str) -> int:
    """A life in seconds, the usual one where none is given."""
    unit, least, usual, most = rules.LIVES[name]
    if not text:
        return usual * unit
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most * unit:
        raise InvalidFieldError(name, f"Write a number of seconds, from {least * unit} to {most * unit}.")
    return int(text)


def _slug(text: str) -> str:
    try:
        slug = read_label(text)
    except InvalidFieldError:
        slug = ""
    if not slug or slug != text or slug in RESERVED_SLUGS:
        raise InvalidFieldError("slug", "A slug is 1 to 60 small letters, digits and hyphens, and not the word new.")
    return slug


def _id(text: str) -> str:
    if text and not is_link_id(text):
        raise InvalidFieldError("id", "An ID is 32 of the digits 0-9 and a-f. Leave it out for a new one.")
    return text


def _unknown(where: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name[:40], known, 1)
    return f"{where}{name[:40]!r}: There is no such member." + (f" Is {near[0]} meant?" if near else "")

"""The HTTP API in OpenAPI 3.1. It is written by hand, beside the routes; tests hold the two against each other."""

from typing import Any

from flask import Blueprint

from applinks.models import State
from applinks.oauth.incoming import CLIENT_TYPES, GRANT_TYPES
from applinks.oauth.options import OPTIONS, WORDS
from applinks.oauth.sasl import USER, USER_LENGTH
from applinks.services.findings import Result
from applinks.services.links import NEEDS_YOU
from applinks.services.registrations import FIELDS
from applinks.services.renewal import Outcome
from applinks.web.api.asking import route
from applinks.web.current import services

Schema = dict[str, Any]

_SLUG: Schema = {"type": "string", "pattern": "^[a-z0-9-]{1,60}$"}
_LABEL: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$"}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "integer", "description": "Seconds since 1970."}
_WARNINGS = {
    401: "No API key or access token that counts was sent; why isn't said, but that an access token has expired.",
    403: "The key, or the access token, may not do this.",
    404: "There is no such link or connection, or the key isn't for it.",
    409: "A person must act, at `url`: `not_connected`, `reconnect_needed`, `check_settings`, `unreadable` or "
    "`consent_needed`; or somebody was quicker: `conflict`.",
    413: "More than 64 KiB were sent.",
    422: "A parameter or a field is wrong: `fields` says which, and why.",
    429: "Too many wrong keys from this address, or a token rejected too soon after it was given.",
    503: "`provider_away`, or `busy`: try again after `Retry-After`.",
}


def describe(blueprint: Blueprint) -> None:
    """Serve the description; whoever reads it needs no key."""

    @route(blueprint, "GET", "/openapi.json")
    def openapi() -> Schema:
        return document(services().settings.base_url)


def document(base_url: str) -> Schema:
    """The whole description, for this address."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Applinks",
            "version": "1",
            "description": "Access tokens that are valid now, and the application links they come from. Errors are "
            "problem details (RFC 9457) whose `code` never changes its meaning.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": f"{base_url}/api/v1"}],
        "security": [{"api_key": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `apl_…`, or an access token that an incoming link was given, `apa_…`; "
                    "in no other place. What an access token isn't for is answered by 403, with the scope that it needs.",
                }
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> dict[str, Schema]:
    ttl = _query("min_ttl", {"type": "integer", "minimum": 0, "maximum": 86_400, "default": 60})
    token = [_query("connection", _LABEL, "Which one, where the link has several."), ttl]
    mailbox = {"type": "string", "pattern": f"^{USER}$", "maxLength": USER_LENGTH}
    user = _query("user", mailbox, "The mailbox.", required=True)
    paging = [_query("before", _COUNT | {"maximum": 2**31 - 1}), _query("limit", _between(1, 500))]
    events = [
        *(_query("link", _short(60)), _query("actor", _short(100)), _query("what", _short(60))),
        *(_query(name, _COUNT | {"maximum": 2**53}) for name in ("since", "until")),
    ]
    states = {"enum": [NEEDS_YOU, *(str(state) for state in State)]}
    search = [_query("search", _short(100), "How words of its name begin."), _query("state", states)]
    search.append(_query("after", _short(201)))
    one, all_of_one = "/links/{slug}", "/links/{slug}/connections"
    connection = f"{all_of_one}/{{label}}"
    return {
        "/links": {
            "get": _does("listLinks", "The links that this key is for, by name", "Links", search),
            "post": _does("addLink", "Make an outgoing link", "Link", body="LinkFields", status=201),
        },
        one: {
            "get": _does("getLink", "A link with its connections", "Link", [_slug()]),
            "patch": _does(
                "changeLink", "Change what is sent", "Link", [_slug(), _if_match()], body="LinkChanges", human=True
            ),
            "delete": _does("deleteLink", "Delete a link", "Told", [_slug()]),
        },
        f"{one}/checks": {"post": _does("checkLink", "Say what is wrong with a link", "Check", [_slug()])},
        f"{one}/token": {
            "get": _does("getToken", "A token that is valid now", "AccessToken", [_slug(), *token], human=True)
        },
        f"{one}/token/rejected": {
            "post": _does(
                *("rejectToken", "Another token than the one that was refused", "AccessToken", [_slug(), *token]),
                body="Rejected",
                human=True,
            )
        },
        f"{one}/xoauth2": {
            "get": _does("getSasl", "What a mail program logs in with", "Sasl", [_slug(), user, *token], human=True)
        },
        all_of_one: {"get": _does("listConnections", "Its connections", "Connections", [_slug()])},
        connection: {
            "get": _does("getConnection", "A connection", "Connection", [_slug(), _label()]),
            "delete": _does("removeConnection", "Delete a connection", "Told", [_slug(), _label()]),
        },
        f"{connection}/refresh": {
            "post": _does("refresh", "Ask for a new token now", "Refreshed", [_slug(), _label()], human=True)
        },
        f"{connection}/connect": {
            "post": _does("connect", "Connect without consent", "Connection", [_slug(), _label()], human=True)
        },
        f"{connection}/disconnect": {
            "post": _does("disconnect", "Wipe its tokens", "Disconnected", [_slug(), _label()])
        },
        f"{one}/events": {"get": _does("listEventsOfLink", "What happened to a link", "Events", [_slug(), *paging])},
        "/events": {"get": _does("listEvents", "The audit log, newest first", "Events", [*events, *paging])},
        "/openapi.json": {
            "get": {
                "operationId": "describe",
                "summary": "This description",
                "security": [],
                "responses": {"200": _answer("OpenAPI 3.1", {"type": "object"})},
            }
        },
    }


def _does(
    name: str,
    summary: str,
    schema: str,
    parameters: list[Schema] | None = None,
    *,
    body: str = "",
    status: int = 200,
    human: bool = False,
) -> Schema:
    """One operation. `human`: it may end where a person must act, or a provider is away."""
    codes = [401, 403, 404, 409, 413, 422, 429, 503]
    found: Schema = {"operationId": name, "summary": summary, "parameters": parameters or []}
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    problems = {str(code): _problem(_WARNINGS[code]) for code in codes}
    if not human:
        del problems["409"]
    if not body:
        del problems["413"]
    found["responses"] = {str(status): _answer(summary, _ref(schema)), **problems}
    return found


def _problem(description: str) -> Schema:
    return {"description": description, "content": {"application/problem+json": {"schema": _ref("Problem")}}}


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: Schema, description: str = "", *, required: bool = False) -> Schema:
    found = {"name": name, "in": "query", "schema": schema, "required": required}
    return found | ({"description": description} if description else {})


def _slug() -> Schema:
    return {"name": "slug", "in": "path", "required": True, "schema": _SLUG}


def _label() -> Schema:
    return {"name": "label", "in": "path", "required": True, "schema": _SLUG}


def _if_match() -> Schema:
    pattern = {"type": "string", "pattern": '^"[0-9]{1,9}"$'}
    return {"name": "If-Match", "in": "header", "schema": pattern, "description": "The ETag of what was read."}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _short(length: int) -> Schema:
    return {"type": "string", "maxLength": length}


def _between(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _or_null(schema: Schema) -> Schema:
    return schema | {"type": [schema["type"], "null"]}


def _object(needed: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    properties = needed | (optional or {})
    return {
        "type": "object",
        "properties": properties,
        "required": list(needed),
        "additionalProperties": False,
    }


def _schemas() -> dict[str, Schema]:
    life = {"expires_in": _COUNT | {"description": "Seconds."}, "expires_at": _TIME}
    states = {"type": "string", "enum": [str(state) for state in State]}
    times = dict.fromkeys(("expires_at", "connected_at", "refreshed_at", "next_attempt_at"), _or_null(_TIME))
    texts = dict.fromkeys(("words", "account", "scopes_asked", "scopes_granted", "url"), _TEXT)
    connection = {"label": _LABEL, "state": states, **texts, **times}
    summary = {"slug": _SLUG, "name": _TEXT, "direction": {"enum": ["outgoing", "incoming"]}, "url": _TEXT}
    versions = {"version": _COUNT, "created_at": _TIME, "updated_at": _TIME}
    fields = {name: _field(name) for name in FIELDS}
    stored = {name: fields[name] for name in FIELDS if name not in ("client_secret", "name", "provider", "scopes")}
    provider = {"provider": _TEXT | {"description": "What the provider said to it, for people."}}
    row = {
        **summary,
        **{
            "provider": _or_null(_TEXT),
            "state": states | {"type": ["string", "null"], "enum": [*states["enum"], None]},
        },
        **{"connections": _COUNT, "account": _or_null(_TEXT)},
        **{"expires_at": _or_null(_TIME), "refreshed_at": _or_null(_TIME)},
        "deadline": _or_null(_object({"of": {"enum": ["secret", "consent", "certificate"]}, "at": _TIME}))
        | {"description": "What ends within 30 days, or has ended."},
    }
    texts_of_event = ("actor", "actor_kind", "actor_id", "address", "what", "link", "label", "words")
    outgoing = _object(
        summary
        | {"direction": {"const": "outgoing"}, "provider": _TEXT, "scopes": _TEXT, "redirect_uri": _TEXT}
        | versions
        | {"connections": {"type": "array", "items": _ref("Connection")}},
        stored,
    )
    incoming = _object(
        summary
        | {"direction": {"const": "incoming"}, "client_id": _TEXT, "scopes": _TEXT}
        | {"client_type": {"enum": list(CLIENT_TYPES)}, "disabled": {"type": "boolean"}}
        | {"redirect_uris": {"type": "array", "items": _TEXT}}
        | {"grant_types": {"type": "array", "items": {"enum": list(GRANT_TYPES)}}}
        | versions
    )
    return {
        "AccessToken": _object(
            {"access_token": _TEXT, "token_type": {"const": "Bearer"}, "connection": _LABEL}, {"scope": _TEXT, **life}
        ),
        "Sasl": _object({"xoauth2": _TEXT, "oauthbearer": _TEXT, "connection": _LABEL}, life),
        "Rejected": {
            "description": "The token that was refused, or its SHA-256 in hexadecimal digits.",
            "oneOf": [
                _object({"token": {"type": "string", "maxLength": 16_384}}),
                _object({"digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}),
            ],
        },
        "Problem": _object(
            {"type": _TEXT, "title": _TEXT, "status": _between(400, 599), "code": _TEXT, "detail": _TEXT},
            {"fields": {"type": "object", "additionalProperties": _TEXT}, "url": _TEXT},
        ),
        "Links": _object({"links": {"type": "array", "items": _object(row)}, "after": _or_null(_TEXT)}),
        "Link": {"oneOf": [outgoing, incoming]},
        "LinkFields": _object({name: fields[name] for name in ("name", "provider", "client_id")}, fields),
        "LinkChanges": _object({}, fields),
        "Connection": _object(connection),
        "Connections": _object({"connections": {"type": "array", "items": _ref("Connection")}}),
        "Refreshed": _object({"outcome": {"enum": [str(outcome) for outcome in Outcome]}, **connection}),
        "Disconnected": _object(connection | provider),
        "Told": _object(provider),
        "Check": _object(
            {
                "result": {"enum": ["passed", "warned", "failed"]},
                "steps": {"type": "array", "items": _ref("Step")},
            }
        ),
        "Step": _object(
            dict.fromkeys(("key", "title", "cause", "mend", "label"), _TEXT)
            | {
                "result": {"enum": [str(result) for result in Result]},
                "exchange": {"type": "array", "items": _TEXT},
            }
        ),
        "Event": _object(
            {"id": _COUNT, "at": _TIME, "last_at": _TIME, "count": _COUNT} | dict.fromkeys(texts_of_event, _TEXT)
        ),
        "Events": _object({"events": {"type": "array", "items": _ref("Event")}, "before": _or_null(_COUNT)}),
    }


def _field(name: str) -> Schema:
    if name in WORDS:
        return {"enum": ["", *WORDS[name]]}
    if name == "client_secret_ends":
        return {"type": "string", "pattern": "^(20[0-9]{2}-[0-9]{2}-[0-9]{2})?$", "description": "A day."}
    lengths = {"name": 100, "client_id": 512, "client_secret": 4096}
    return _short(lengths.get(name, 16_384)) | (
        {"description": "An option; empty: the default."} if name in OPTIONS else {}
    )

"""What is measured with: `python -m benchmarks.data …` writes it into the database of the environment.

links NUMBER      so many links with a connection each, and a key for them all by name
many NUMBER       the same into the tables at once, and a key for all links
incoming NUMBER   so many more links without connections
session           an administrator who is signed in
refreshing PORT   connections that are due, at eight hosts
slow PORT         links whose token takes its time
revoke ID…        revoke keys, one after another, saying so
"""

import json
import sys
import time

from applinks import create_app
from applinks.crypto import Place, new_id
from applinks.models import INCOMING, ApplicationLink, Connection, IncomingLink, LinkWord, OutgoingLink, database
from applinks.oauth.registration import name_key, search_words
from applinks.services.events import APPLINKS
from applinks.services.registrations import read_registration
from applinks.wiring import Services

EVER = 10**7
KEYS = 200
HOSTS = [f"127.0.0.{number}" for number in range(2, 10)]


def links(services: Services, number: str) -> dict[str, object]:
    with database.atomic():
        ids = [_link(services, f"Link {index}", "https://localhost/token") for index in range(int(number))]
        for link_id in ids:
            _connect(services, link_id, int(time.time()) + EVER)
    keys = [services.api_keys.make("bench", ids, manages=False, days=30, actor=APPLINKS) for _ in range(KEYS + 1)]
    return {"key": keys[0][1], "keys": [(row.id, text) for row, text in keys[1:]]}


def many(services: Services, number: str) -> dict[str, object]:
    """Copies of one link that was made through the door: so it takes seconds where that would take an hour."""
    first = _link(services, "Link 0", "https://localhost/token")
    _connect(services, first, int(time.time()) + EVER)
    link, outgoing, connection = (
        next(iter(table.select().dicts())) for table in (ApplicationLink, OutgoingLink, Connection)
    )
    seal = services.tokens._vault._keys.seal
    for start in range(1, int(number), 100):
        ids = {index: (new_id(), new_id()) for index in range(start, min(start + 100, int(number)))}
        links = [
            link | {"id": ids[n][0], "slug": f"link-{n}", "name": f"Link {n}", "name_key": f"link {n}"} for n in ids
        ]
        connections = [
            connection
            | {
                "id": connection_id,
                "link": link_id,
                "access_token_enc": seal("x" * 200, Place("connection", connection_id, "access_token")),
            }
            for link_id, connection_id in ids.values()
        ]
        with database.atomic():
            ApplicationLink.insert_many(links).execute()
            OutgoingLink.insert_many([outgoing | {"link": link_id} for link_id, _ in ids.values()]).execute()
            Connection.insert_many(connections).execute()
    _, key = services.api_keys.make("bench", None, manages=False, days=30, actor=APPLINKS)
    return {"key": key}


def incoming(services: Services, number: str) -> dict[str, object]:
    """Into the tables at once: what is measured is reading, and through the door it would take minutes."""
    for start in range(0, int(number), 100):
        names = [f"App {index:06}" for index in range(start, min(start + 100, int(number)))]
        rows = [(new_id(), name, name_key(name)) for name in names]
        links = [(link_id, key.replace(" ", "-"), name, key, INCOMING, 1, 0, 0) for link_id, name, key in rows]
        words = [(word.encode(), key, link_id) for link_id, name, key in rows for word in search_words(name)]
        incoming = [(link_id, link_id, "", "", "", 60) for link_id, _, _ in rows]
        with database.atomic():
            ApplicationLink.insert_many(links, fields=list(ApplicationLink._meta.sorted_fields)).execute()
            LinkWord.insert_many(words, fields=list(LinkWord._meta.sorted_fields)).execute()
            IncomingLink.insert_many(incoming, fields=list(IncomingLink._meta.sorted_fields)).execute()
    return {"links": ApplicationLink.select().count()}


def session(services: Services) -> dict[str, object]:
    administrator = services.sign_in.create("bench", "plum lantern orbit", APPLINKS)
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    cookie = serializer.dumps({"id": services.sign_in.begin_session(administrator)})
    return {"cookie": cookie}


def refreshing(services: Services, port: str) -> dict[str, object]:
    with database.atomic():
        for host in HOSTS:
            link_id = _link(services, f"At {host}", f"http://{host}:{port}/token")
            for label in range(60):
                _connect(services, link_id, int(time.time()) + EVER, label=f"c-{label}")
    return {}


def slow(services: Services, port: str) -> dict[str, object]:
    for index in range(4):
        _connect(services, _link(services, f"Slow {index}", f"http://127.0.0.1:{port}/token"), int(time.time()) - 1)
    _, key = services.api_keys.make("bench", None, manages=False, days=30, actor=APPLINKS)
    return {"key": key}


def revoke(services: Services, *ids: str) -> dict[str, object]:
    for key_id in ids:
        services.api_keys.revoke(key_id, APPLINKS)
        print(key_id, flush=True)
        sys.stdin.readline()
    return {}


def _link(services: Services, name: str, token_endpoint: str) -> str:
    """A link that is renewed by the client's own credentials, which need nobody."""
    fields = {
        "name": name,
        "provider": "custom",
        "grant_type": "client_credentials",
        "client_authentication": "client_secret_basic",
        "token_endpoint": token_endpoint,
        "client_id": "bench",
        "client_secret": "bench",
    }
    registration = read_registration(services.guard, services.catalogue, fields, secret_needed=True)
    return str(services.links.create(new_id(), registration, APPLINKS).id)


def _connect(services: Services, link_id: str, expires_at: int, label: str = "default") -> None:
    connection_id, now = new_id(), int(time.time())
    sealed = services.tokens._vault._keys.seal("x" * 200, Place("connection", connection_id, "access_token"))
    Connection.create(
        id=connection_id,
        link=link_id,
        label=label,
        state="connected",
        access_token_enc=sealed,
        scopes_granted="read write",
        refreshed_at=now - 60,
        expires_at=expires_at,
        next_attempt_at=expires_at,
        created_at=now,
    )


if __name__ == "__main__":
    app = create_app()
    made = globals()[sys.argv[1]](app.extensions["applinks"], *sys.argv[2:])
    print(json.dumps(made), flush=True)

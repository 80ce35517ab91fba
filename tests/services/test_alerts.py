"""Alerts: what is told, to whom, once; and what becomes of what can't be sent."""

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from flask import Flask
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from applinks import create_app
from applinks.errors import StartRefusedError
from applinks.models import Alert, ApplicationLink, Connection, Event, OutgoingLink, State, Told, database
from applinks.oauth.guard import Guard
from applinks.services.alerts import LEASE_SECONDS, WAITS, Alerts
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.authority import Authority
from tests.conftest import Clock, renew
from tests.processes import free_port
from tests.standin import QuietHandler, StandIn, json_answer
from tests.visitor import Visitor, text_of

SECRET = "whsec_Q0FOQVJZLXdlYmhvb2stc2VjcmV0LW9mLXRlc3Rz"
DAY = 86_400


class Receiver:
    """Takes webhooks; `answers` come first, then 204."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.answers: deque[Response] = deque()
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=QuietHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @Request.application
    def __call__(self, request: Request) -> Response:
        request.get_data()
        self.got.append(request)
        return self.answers.popleft() if self.answers else Response(status=204)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(request.get_data()) for request in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def environ(environ: dict[str, str], receiver: Receiver) -> dict[str, str]:
    return environ | {"APPLINKS_ALERT_WEBHOOK": receiver.url, "APPLINKS_ALERT_WEBHOOK_SECRET": SECRET}


@pytest.fixture
def alerts(services: Services) -> Alerts:
    return services.alerts


def tell(alerts: Alerts) -> int:
    """Look, and send what is due."""
    alerts._deadlines_at = 0.0
    alerts.look()
    return alerts.send_due()


def refuse(services: Services, provider: StandIn) -> None:
    provider.answer(json_answer({"error": "invalid_grant", "error_description": "Ended by its owner"}, 400))
    renew(services)


def test_it_tells_once_that_a_connection_needs_somebody(
    alerts: Alerts, receiver: Receiver, services: Services, provider: StandIn, connect: Callable[..., None]
) -> None:
    connect()
    assert tell(alerts) == 0
    refuse(services, provider)
    assert [tell(alerts) for _ in range(3)] == [1, 0, 0]
    (said,) = receiver.said
    assert said["type"] == "connection.needs_you"
    assert said["data"] == {
        "link": "payroll",
        "name": "Payroll",
        "url": "http://127.0.0.1:5000/links/payroll",
        "label": "default",
        "state": "reconnect_needed",
        "words": "invalid_grant: Ended by its owner",
    }


def test_it_tells_that_it_works_again_and_later_that_it_doesnt(
    alerts: Alerts, receiver: Receiver, services: Services, provider: StandIn, connect: Callable[..., None]
) -> None:
    connect()
    for _ in range(2):
        refuse(services, provider)
        tell(alerts)
        connect()
        tell(alerts)
    kinds = [said["type"] for said in receiver.said]
    assert kinds == ["connection.needs_you", "connection.recovered"] * 2


def test_it_is_no_news_when_somebody_has_ended_it(
    alerts: Alerts,
    receiver: Receiver,
    services: Services,
    provider: StandIn,
    connect: Callable[..., None],
    ada: Visitor,
) -> None:
    connect()
    refuse(services, provider)
    tell(alerts)
    ada.post("/links/payroll/connections/default/disconnect")
    assert tell(alerts) == 0
    assert not Told.select().exists()


def test_it_says_nothing_of_what_is_tried_again(
    alerts: Alerts, services: Services, provider: StandIn, connect: Callable[..., None]
) -> None:
    connect()
    provider.answer(json_answer({}, 503))
    renew(services)
    assert Connection.get().state == State.RETRYING
    assert tell(alerts) == 0


def test_it_says_that_it_works_again_only_when_it_does(
    alerts: Alerts, receiver: Receiver, services: Services, provider: StandIn, connect: Callable[..., None]
) -> None:
    connect()
    provider.answer(json_answer({"error": "invalid_client"}, 401), json_answer({}, 503))
    for state in (State.CHECK_SETTINGS, State.RETRYING):
        renew(services)
        assert Connection.get().state == state
        tell(alerts)
    assert [said["type"] for said in receiver.said] == ["connection.needs_you"]
    renew(services)
    tell(alerts)
    assert [said["type"] for said in receiver.said][1:] == ["connection.recovered"]


def test_its_webhook_is_one_that_others_can_verify(
    alerts: Alerts, receiver: Receiver, services: Services, clock: Clock
) -> None:
    """By the library of Standard Webhooks."""
    clock.now = time.time()
    alerts.test()
    alerts.send_due()
    (request,) = receiver.got
    headers = {name.lower(): value for name, value in request.headers}
    body = request.get_data()
    assert Webhook(SECRET).verify(body, headers)["type"] == "test"
    other = SECRET.replace("Q0FO", "Q0FP")
    for wrong in (
        lambda: Webhook(other).verify(body, headers),
        lambda: Webhook(SECRET).verify(body + b" ", headers),
        lambda: Webhook(SECRET).verify(body, headers | {"webhook-id": "x"}),
    ):
        with pytest.raises(WebhookVerificationError):
            wrong()


@pytest.mark.parametrize("status", [500, 302, 410])
def test_it_tries_again_later_under_the_same_id(
    alerts: Alerts, receiver: Receiver, clock: Clock, ada: Visitor, status: int
) -> None:
    receiver.answers.append(Response(status=status, headers={"Location": "/hook"}))
    alerts.test()
    assert alerts.send_due() == 0
    assert f"It answered {status}." in text_of(ada.get("/settings"))
    clock.advance(WAITS[0] - 1)
    assert alerts.send_due() == 0
    clock.advance(1)
    assert alerts.send_due() == 1
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert "It answered" not in text_of(ada.get("/settings"))


def test_it_gives_up_after_three_days_and_writes_that_down(alerts: Alerts, receiver: Receiver, clock: Clock) -> None:
    alerts.test()
    begun = clock()
    for wait in (*WAITS, 0):
        receiver.answers.append(Response(status=500))
        assert alerts.send_due() == 0
        clock.advance(wait)
    assert alerts.send_due() == 0
    assert len(receiver.got) == len(WAITS) + 1
    assert 2.5 * DAY < clock() - begun < 3.5 * DAY
    assert Event.select().where(Event.what == "alert given up").count() == 1
    assert [alert.next_attempt_at for alert in alerts.unsent()] == [None]


def test_another_process_sends_what_one_was_killed_at(alerts: Alerts, receiver: Receiver, clock: Clock) -> None:
    alerts.test()
    alert = Alert.get()
    assert alerts._claim(alert, int(clock()))
    assert not alerts._claim(alert, int(clock()))
    assert alerts.send_due() == 0
    clock.advance(LEASE_SECONDS)
    assert alerts.send_due() == 1
    assert receiver.got[0].headers["webhook-id"] == alert.id


def test_two_processes_that_look_at_once_tell_once(
    alerts: Alerts, services: Services, provider: StandIn, connect: Callable[..., None], receiver: Receiver
) -> None:
    connect()
    refuse(services, provider)
    other = Alerts(services.settings, services.guard, services.events, services.calendar, services.clock)
    for each in (alerts, other):
        each.look()
    assert alerts.send_due() + other.send_due() == 1


def test_it_doesnt_call_where_nobody_may(environ: dict[str, str], clock: Clock, settings: Any, tmp_path: Path) -> None:
    """The webhook goes through the guard as everything does."""
    away = {"APPLINKS_DATA_DIR": str(tmp_path / "other"), "APPLINKS_BASE_URL": "https://applinks.example.com"}
    hook = {"APPLINKS_ALERT_WEBHOOK_SECRET": SECRET, "APPLINKS_ALERT_WEBHOOK": "https://10.1.2.3/hook"}
    app = create_app(read_settings(away | hook), clock=clock)
    services: Services = app.extensions["applinks"]
    services.alerts.test()
    assert services.alerts.send_due() == 0
    assert "APPLINKS_ALLOWED_NETWORKS=10.1.0.0/16" in Alert.get().failure
    services.counts.stop()
    database.close()


@pytest.mark.parametrize(("days", "told"), [(45, 0), (31, 0), (30, 1), (8, 1), (7, 1), (1, 1), (0, 1), (-1, 0)])
def test_it_tells_of_a_secret_that_ends(
    alerts: Alerts, receiver: Receiver, clock: Clock, link_id: str, days: int, told: int
) -> None:
    OutgoingLink.update(client_secret_ends_at=int(clock()) + days * DAY).execute()
    assert [tell(alerts), tell(alerts)] == [told, 0]
    if told:
        data = receiver.said[0]["data"]
        assert (data["deadline"], data["days"], data["link"]) == ("secret", days, "payroll")


def test_it_tells_of_a_deadline_three_times(alerts: Alerts, receiver: Receiver, clock: Clock, link_id: str) -> None:
    OutgoingLink.update(client_secret_ends_at=int(clock()) + 40 * DAY).execute()
    for _ in range(45):
        tell(alerts)
        clock.advance(DAY)
    assert [said["data"]["days"] for said in receiver.said] == [30, 7, 1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"APPLINKS_ALERT_WEBHOOK": "https://x.example/"}, "need each other"),
        ({"APPLINKS_ALERT_WEBHOOK_SECRET": SECRET}, "need each other"),
        ({"APPLINKS_ALERT_WEBHOOK": "ftp://x.example/", "APPLINKS_ALERT_WEBHOOK_SECRET": SECRET}, "must look like"),
        (
            {"APPLINKS_ALERT_WEBHOOK": "https://u:p@x.example/", "APPLINKS_ALERT_WEBHOOK_SECRET": SECRET},
            "must look like",
        ),
        ({"APPLINKS_ALERT_WEBHOOK": "https://x.example/", "APPLINKS_ALERT_WEBHOOK_SECRET": "whsec_AAAA"}, "24 to 64"),
        ({"APPLINKS_ALERT_WEBHOOK": "https://x.example/", "APPLINKS_ALERT_WEBHOOK_SECRET": "x" * 40}, "24 to 64"),
        ({"APPLINKS_ALERT_MAIL": "ops@example.com"}, "need each other"),
        ({"APPLINKS_SMTP_URL": "smtp://mail.example.com"}, "need each other"),
        ({"APPLINKS_SMTP_URL": "mail.example.com", "APPLINKS_ALERT_MAIL": "ops@example.com"}, "must look like"),
        ({"APPLINKS_SMTP_URL": "smtp://h:99999", "APPLINKS_ALERT_MAIL": "ops@example.com"}, "must look like"),
        ({"APPLINKS_SMTP_URL": "smtp://h", "APPLINKS_ALERT_MAIL": "ops@example.com\nBcc: x"}, "write addresses"),
        ({"APPLINKS_SMTP_URL": "smtp://h", "APPLINKS_ALERT_MAIL": "ops"}, "write addresses"),
    ],
)
def test_it_starts_with_no_half_of_a_channel(settings: dict[str, str], says: str) -> None:
    with pytest.raises(StartRefusedError, match=says) as error:
        read_settings(settings)
    assert "p@" not in str(error.value)


class Postbox:
    """What a mail server took; `refusal` is what it says instead."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.refusal = ""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refusal:
            return self.refusal
        self.taken.append(envelope)
        return "250 OK"


def only_right(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword) -> AuthResult:
    return AuthResult(success=given.password == b"CANARY-mail", handled=False)


Start = Callable[..., tuple[Postbox, str]]


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[Start]:
    """Start a mail server on loopback; returns its postbox and its URL."""
    running: list[Controller] = []

    def start(user: str = "", **options: Any) -> tuple[Postbox, str]:
        postbox = Postbox()
        controller = Controller(postbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return postbox, f"smtp://{user}127.0.0.1:{controller.port}"

    yield start
    for controller in running:
        controller.stop()


def mailing(url: str, tmp_path: Path, clock: Clock, **settings: str) -> Services:
    environ = {"APPLINKS_DATA_DIR": str(tmp_path / "mailing"), "APPLINKS_SMTP_URL": url}
    environ |= {"APPLINKS_ALERT_MAIL": "ops@example.com, ada@example.com"} | settings
    app = create_app(read_settings(environ), clock=clock)
    services: Services = app.extensions["applinks"]
    return services


def test_it_sends_mail(mail_server: Start, tmp_path: Path, clock: Clock) -> None:
    postbox, url = mail_server()
    services = mailing(url, tmp_path, clock)
    services.alerts.test()
    assert services.alerts.send_due() == 1
    (envelope,) = postbox.taken
    assert envelope.rcpt_tos == ["ops@example.com", "ada@example.com"]
    text = envelope.content.decode() if isinstance(envelope.content, bytes) else envelope.content or ""
    for line in (
        "Subject: Applinks: a test alert",
        "Auto-Submitted: auto-generated",
        f"Message-ID: <{Alert.get().id}@",
    ):
        assert line in text
    assert "Nothing needs you." in text
    database.close()


def test_it_can_be_made_to_say_nothing_else_in_a_mails_head(mail_server: Start, tmp_path: Path, clock: Clock) -> None:
    postbox, url = mail_server()
    services = mailing(url, tmp_path, clock)
    services.alerts._add(
        "test", "Applinks: x\r\nBcc: evil@example.com needs you", {"words": "x\r\n.\r\nRCPT TO:<evil@example.com>"}
    )
    assert services.alerts.send_due() == 1
    (envelope,) = postbox.taken
    assert envelope.rcpt_tos == ["ops@example.com", "ada@example.com"]
    assert b"\nBcc:" not in bytes(envelope.content or b"")
    database.close()


@pytest.mark.parametrize("refusal", ["550 No.", "421 Not now.", "451 Later."])
def test_it_keeps_what_a_mail_server_refuses(mail_server: Start, tmp_path: Path, clock: Clock, refusal: str) -> None:
    postbox, url = mail_server()
    postbox.refusal = refusal
    services = mailing(url, tmp_path, clock)
    services.alerts.test()
    assert services.alerts.send_due() == 0
    assert Alert.get().failure == f"The mail server answered {refusal[:3]}."
    postbox.refusal = ""
    clock.advance(WAITS[0])
    assert services.alerts.send_due() == 1
    database.close()


@pytest.mark.parametrize(("password", "sent"), [("CANARY-mail", 1), ("CANARY-wrong", 0)])
def test_it_signs_in(mail_server: Start, tmp_path: Path, clock: Clock, password: str, sent: int) -> None:
    options = {"authenticator": only_right, "auth_require_tls": False}
    _, url = mail_server(f"ops:{password}@", **options)
    services = mailing(url, tmp_path, clock)
    services.alerts.test()
    assert services.alerts.send_due() == sent
    assert password not in Alert.get().failure
    database.close()


def test_it_sends_no_mail_in_plain_to_another_machine(
    mail_server: Start, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    postbox, url = mail_server()
    monkeypatch.setattr("applinks.oauth.notices._Guarded._is_here", lambda self: False)
    services = mailing(url, tmp_path, clock)
    services.alerts.test()
    assert services.alerts.send_due() == 0
    assert "offers no STARTTLS" in Alert.get().failure
    assert not postbox.taken
    database.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_it_trusts_no_mail_server_with_a_wrong_certificate(
    mail_server: Start, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    authority = Authority(tmp_path)
    context: ssl.SSLContext = authority.server("good")
    postbox, url = mail_server(tls_context=context)
    monkeypatch.setattr("applinks.oauth.notices._Guarded._is_here", lambda self: False)
    known = {"APPLINKS_CA_FILE": str(authority.ca_file)} if trusted else {}
    services = mailing(url, tmp_path, clock, **known)
    services.alerts.test()
    assert services.alerts.send_due() == int(trusted)
    assert len(postbox.taken) == int(trusted)
    database.close()


def test_it_says_nothing_without_a_channel(app: Flask, tmp_path: Path, clock: Clock) -> None:
    silent = Alerts(
        read_settings({"APPLINKS_DATA_DIR": str(tmp_path)}),
        Guard(loopback=True),
        app.extensions["applinks"].events,
        app.extensions["applinks"].calendar,
        clock,
    )
    silent.sweep()
    assert silent.test() == 0
    assert not Alert.select().exists()
    assert not ApplicationLink.select().exists()

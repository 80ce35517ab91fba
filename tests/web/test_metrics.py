"""/readyz and /metrics: what monitoring is told, and who may ask."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from flask import Flask

from applinks.models import Connection, Heartbeat, Instance, database
from applinks.services.renewal import Outcome
from applinks.wiring import Services
from tests.conftest import ADA, Clock, renew
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor

RULES = Path(__file__).resolve().parents[2] / "packaging" / "prometheus-rules.yml"
LINE = re.compile(r'(applinks_[a-z_]+(?:\{[a-z]+="[^"{}]+"\})?) (-?[0-9.e+]+)')


@pytest.fixture
def key(services: Services) -> str:
    """One for no link at all."""
    return services.api_keys.make("monitoring", [], manages=False, days=1, actor=ADA)[1]


@pytest.fixture
def figures(app: Flask, key: str, services: Services) -> Callable[[], dict[str, float]]:
    """What /metrics says, by name and labels."""

    def ask() -> dict[str, float]:
        services.counts.flush()
        answer = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200, answer.text
        assert answer.content_type.startswith("text/plain; version=0.0.4")
        samples = [line for line in answer.text.splitlines() if not line.startswith("#")]
        found = [LINE.fullmatch(line) for line in samples]
        assert all(found), samples
        return {match[1]: float(match[2]) for match in found if match}

    return ask


def test_it_counts_refreshes_by_how_they_ended(
    figures: Callable[[], dict[str, float]], services: Services, provider: StandIn, connect: Callable[..., None]
) -> None:
    connect()
    before = figures()
    assert before['applinks_refreshes_total{outcome="refreshed"}'] == 0
    assert before['applinks_connections{state="connected"}'] == 1
    assert renew(services) is Outcome.REFRESHED
    provider.answer(json_answer({}, 503))
    assert renew(services) is Outcome.RETRYING
    provider.answer(json_answer({"error": "invalid_grant"}, 400))
    assert renew(services) is Outcome.REFUSED
    after = figures()
    for outcome in ("refreshed", "retrying", "refused"):
        assert after[f'applinks_refreshes_total{{outcome="{outcome}"}}'] == 1
    assert after["applinks_refresh_duration_seconds_count"] == 3
    assert after['applinks_refresh_duration_seconds_bucket{le="+Inf"}'] == 3
    assert after['applinks_refresh_duration_seconds_bucket{le="30"}'] == 3
    assert after['applinks_connections{state="reconnect_needed"}'] == 1
    assert after['applinks_connections{state="connected"}'] == 0


def test_it_counts_reads_of_tokens_whatever_becomes_of_the_key(
    app: Flask, figures: Callable[[], dict[str, float]], services: Services, connect: Callable[..., None]
) -> None:
    connect()
    row, key = services.api_keys.make("script", None, manages=False, days=1, actor=ADA)
    for _ in range(3):
        bearer = {"Authorization": f"Bearer {key}"}
        assert app.test_client().get("/api/v1/links/payroll/token", headers=bearer).status_code == 200
    assert figures()["applinks_token_reads_total"] == 3
    services.api_keys.revoke(row.id, ADA)
    assert figures()["applinks_token_reads_total"] == 3


def test_it_tells_what_is_due_and_what_expires(
    figures: Callable[[], dict[str, float]], services: Services, connect: Callable[..., None], clock: Clock
) -> None:
    assert "applinks_next_expiry_seconds" not in figures()
    connect()
    assert figures()["applinks_next_expiry_seconds"] == 3600
    assert figures()["applinks_refresh_queue"] == 0
    Connection.update(next_attempt_at=int(clock()) - 30).execute()
    said = figures()
    assert (said["applinks_refresh_queue"], said["applinks_refresh_queue_age_seconds"]) == (1, 30)
    services.refresher.beat()
    clock.advance(20)
    said = figures()
    assert (said["applinks_refreshers"], said["applinks_refresher_heartbeat_age_seconds"]) == (1, 20)


def test_it_names_nobody(app: Flask, key: str, services: Services, connect: Callable[..., None]) -> None:
    connect()
    services.refresher.beat()
    renew(services)
    text = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {key}"}).text
    for name in ("payroll", "Payroll", "ada@", "example", "default", Heartbeat.get().place, "127.0.0.1"):
        assert name not in text


def test_it_shows_figures_to_api_keys_alone(app: Flask, ada: Visitor, stranger: Visitor, key: str) -> None:
    for visitor in (ada, stranger):
        assert visitor.client.get("/metrics", base_url=visitor.base_url).status_code == 401
    client = app.test_client()
    for headers in ({"Authorization": f"Bearer {key[:-1]}x"}, {"Authorization": f"Basic {key}"}, {"X-Api-Key": key}):
        assert client.get("/metrics", headers=headers).status_code == 401
    assert client.get(f"/metrics?key={key}").status_code == 401
    assert (
        client.get("/metrics", headers={"Authorization": f"Bearer {key}", "X-Forwarded-For": "127.0.0.1"}).status_code
        == 200
    )
    assert client.post("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 405


def test_a_key_for_no_links_reads_no_token(app: Flask, key: str, connect: Callable[..., None]) -> None:
    connect()
    bearer = {"Authorization": f"Bearer {key}"}
    assert app.test_client().get("/api/v1/links/payroll/token", headers=bearer).status_code == 404
    assert app.test_client().get("/api/v1/links", headers=bearer).get_json()["links"] == []
    assert app.test_client().get("/api/v1/events", headers=bearer).status_code == 403


def test_it_makes_a_key_for_monitoring_but_none_that_manages_nothing(ada: Visitor) -> None:
    form = {"name": "Prometheus", "reach": "none", "links": "", "may": "read", "days": "90"}
    assert ada.post("/api-keys/new", form).status_code == 201
    refused = ada.post("/api-keys/new", form | {"may": "manage"})
    assert refused.status_code == 422
    assert "A key for no links can" in refused.text
    assert ada.post("/api-keys/new", form | {"reach": "some"}).status_code == 422


def ready(visitor: Visitor) -> tuple[int, dict[str, str]]:
    answer = visitor.get("/readyz")
    return answer.status_code, answer.get_json()


def test_it_is_ready_when_all_is_well(stranger: Visitor, services: Services, connect: Callable[..., None]) -> None:
    connect()
    services.refresher.beat()
    parts = dict.fromkeys(("database", "keys", "refresher", "disk", "grants"), "ok")
    assert ready(stranger) == (200, {"status": "ready"} | parts)


def test_it_isnt_ready_while_nobody_refreshes(stranger: Visitor, connect: Callable[..., None]) -> None:
    connect()
    status, parts = ready(stranger)
    assert (status, parts["refresher"]) == (503, "stopped")


def test_it_isnt_ready_without_its_database(stranger: Visitor) -> None:
    database.execute_sql("ALTER TABLE heartbeat RENAME TO heartbeat_elsewhere")
    status, parts = ready(stranger)
    database.execute_sql("ALTER TABLE heartbeat_elsewhere RENAME TO heartbeat")
    assert (status, parts["database"], parts["status"]) == (503, "away", "not ready")
    assert (parts["keys"], parts["refresher"]) == ("unknown", "unknown")


def test_it_isnt_ready_with_keys_that_dont_fit(stranger: Visitor) -> None:
    Instance.update(key_check="1.other.AAAA").execute()
    status, parts = ready(stranger)
    assert (status, parts["keys"]) == (503, "wrong")


def test_it_isnt_ready_on_a_full_disk(stranger: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1024)
    monkeypatch.setattr("applinks.services.health.shutil.disk_usage", lambda _: usage)
    status, parts = ready(stranger)
    assert (status, parts["disk"]) == (503, "full")


def test_its_rules_ask_for_figures_that_there_are(
    figures: Callable[[], dict[str, float]], services: Services, connect: Callable[..., None]
) -> None:
    connect()
    services.refresher.beat()
    known = {name.partition("{")[0] for name in figures()}
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"applinks_[a-z_]+", rule["expr"])}
    assert asked
    assert asked <= known


PROMTOOL = shutil.which("promtool", path=f"{os.environ.get('PATH', '')}:/usr/bin")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool isn't here")
def test_prometheus_accepts_its_rules_and_its_figures(
    app: Flask, key: str, services: Services, connect: Callable[..., None]
) -> None:
    connect()
    renew(services)
    assert PROMTOOL
    rules = subprocess.run(
        [PROMTOOL, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert rules.returncode == 0, rules.stdout + rules.stderr
    text = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {key}"}).text
    said = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")

"""The rules for Prometheus: they say what is wrong, and nothing while all is well, with one server as with several."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.web.test_metrics import RULES

PROMTOOL = shutil.which("promtool", path=f"{os.environ.get('PATH', '')}:/usr/bin")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool isn't here")
STANDS = "x30"


def metric(name: str, instance: str = "one", **labels: str) -> str:
    """A series as Prometheus stores it of one server."""
    written = {"job": "applinks", "instance": instance} | labels
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in written.items()) + "}"


def said(folder: Path, alert: str, minute: int, series: dict[str, str]) -> str:
    """What the alert says by a minute of these series, empty where it doesn't fire."""
    expected = {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []}
    given = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": "1m", "input_series": given, "alert_rule_test": [expected]}
    file = folder / "case.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    command = [str(PROMTOOL), "test", "rules", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if told.returncode == 0:
        return ""
    assert f'alertname="{alert}"' in told.stdout + told.stderr, told.stdout + told.stderr
    return told.stdout + told.stderr


def test_it_counts_a_connection_once_however_many_servers_tell_of_it(tmp_path: Path) -> None:
    waits = {metric("applinks_connections", name, state="reconnect_needed"): f"1{STANDS}" for name in ("a", "b", "c")}
    words = said(tmp_path, "ApplinksConnectionNeedsYou", 10, waits)
    assert "Connections that need a person: 1." in words
    assert words.count("alertname=") == 1


@pytest.mark.parametrize("state", ["connected", "retrying", "expiring", "disconnected"])
def test_it_calls_nobody_for_what_mends_itself(tmp_path: Path, state: str) -> None:
    assert not said(
        tmp_path, "ApplinksConnectionNeedsYou", 10, {metric("applinks_connections", state=state): f"5{STANDS}"}
    )


@pytest.mark.parametrize("state", ["connected", "retrying"])
def test_it_says_that_nobody_refreshes(tmp_path: Path, state: str) -> None:
    """Also where every connection waits for its next try."""
    stopped = {metric("applinks_refreshers", name): f"0{STANDS}" for name in ("a", "b")} | {
        metric("applinks_connections", name, state=state): f"2{STANDS}" for name in ("a", "b")
    }
    assert said(tmp_path, "ApplinksRefresherStopped", 10, stopped).count("alertname=") == 1


def test_it_needs_no_refresher_where_there_is_nothing_to_refresh(tmp_path: Path) -> None:
    idle = {
        metric("applinks_refreshers"): f"0{STANDS}",
        metric("applinks_connections", state="connected"): f"0{STANDS}",
    }
    assert not said(tmp_path, "ApplinksRefresherStopped", 10, idle)


def test_it_is_calm_about_tokens_that_live_for_a_minute_or_two(tmp_path: Path) -> None:
    """Of several, one is always about to be refreshed."""
    assert not said(tmp_path, "ApplinksTokenExpired", 20, {metric("applinks_next_expiry_seconds"): f"41{STANDS}"})


def test_it_says_that_a_token_has_expired(tmp_path: Path) -> None:
    expired = {metric("applinks_next_expiry_seconds"): "30-60x30"}
    assert not said(tmp_path, "ApplinksTokenExpired", 0, expired)
    assert said(tmp_path, "ApplinksTokenExpired", 10, expired)


def test_it_says_that_most_refreshes_fail(tmp_path: Path) -> None:
    def refreshes(good: str, bad: str) -> dict[str, str]:
        ended = {"refreshed": good, "retrying": bad, "refused": "0x40"}
        return {
            metric("applinks_refreshes_total", name, outcome=outcome): values
            for name in ("a", "b")
            for outcome, values in ended.items()
        }

    assert said(tmp_path, "ApplinksRefreshesFail", 35, refreshes("0x40", "0+1x40")).count("alertname=") == 1
    assert not said(tmp_path, "ApplinksRefreshesFail", 35, refreshes("0+9x40", "0+1x40"))
    assert not said(tmp_path, "ApplinksRefreshesFail", 35, refreshes("7x40", "3x40")), "nothing has happened since"


def test_it_says_that_it_is_not_answered(tmp_path: Path) -> None:
    assert said(tmp_path, "ApplinksDown", 10, {metric("up"): f"0{STANDS}"})
    assert not said(tmp_path, "ApplinksDown", 10, {metric("up"): f"1{STANDS}"})

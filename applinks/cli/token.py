"""`token`: the bare token on standard output and nothing else, so that scripts and mail programs take it as it is."""

import argparse
from typing import Any

from applinks.cli.console import actor
from applinks.cli.output import complain, say
from applinks.cli.remote import Remotely
from applinks.oauth.registration import read_label
from applinks.oauth.sasl import read_user, xoauth2
from applinks.services.tokens import LEAST_SECONDS, NoTokenError, TokenRequest
from applinks.settings import Remote
from applinks.wiring import Services

A_PERSON_MUST_ACT, PROVIDER_AWAY = 3, 4


def add_to(commands: Any) -> None:
    parser = commands.add_parser("token", help="print a token that is valid now")
    parser.add_argument("link", metavar="LINK", help="the link's slug")
    parser.add_argument("--connection", metavar="LABEL", help="which one, where the link has several")
    parser.add_argument("--min-ttl", metavar="SECONDS", type=int, default=LEAST_SECONDS, help="how long it must live")
    parser.add_argument("--xoauth2", metavar="USER", help="print what SASL XOAUTH2 sends for this user, in base64")
    parser.set_defaults(run=_run, run_remotely=_run_remotely)


def _run(services: Services, asked: argparse.Namespace) -> int:
    label = None if asked.connection is None else read_label(asked.connection)
    user = None if asked.xoauth2 is None else read_user("--xoauth2", asked.xoauth2)
    try:
        token = services.tokens.read_as(actor(), TokenRequest(asked.link, label, asked.min_ttl)).access_token
    except NoTokenError as error:
        complain(str(error))
        if error.status == 503:
            return PROVIDER_AWAY
        complain(f"Open {services.settings.base_url}/links/{asked.link}")
        return A_PERSON_MUST_ACT
    say(token if user is None else xoauth2(user, token))
    return 0


def _run_remotely(remote: Remote, asked: argparse.Namespace) -> int:
    query = {"connection": asked.connection, "min_ttl": asked.min_ttl, "user": asked.xoauth2}
    what = "token" if asked.xoauth2 is None else "xoauth2"
    answer = Remotely(remote).get(f"links/{asked.link}/{what}", query)
    if answer.status == 200:
        say(answer.content["access_token" if what == "token" else what])
        return 0
    complain(answer.complaint)
    return {409: A_PERSON_MUST_ACT, 503: PROVIDER_AWAY}.get(answer.status, 1)

"""Jira Data Center. https://confluence.atlassian.com/adminjiraserver/configure-an-incoming-link-1115659067.html"""

from applinks.providers.data_center import data_center
from applinks.providers.profile import Scope

JIRA = data_center(
    "Jira",
    key="jira",
    summary="Projects and issues of a Jira of your own",
    example="jira.example.com",
    scopes=(
        Scope("READ", "see what the account sees"),
        Scope("WRITE", "change what the account may change"),
        Scope("ADMIN", "administer, as the account may"),
    ),
    userinfo="/rest/api/latest/myself",
    documentation_url="https://confluence.atlassian.com/adminjiraserver/configure-an-incoming-link-1115659067.html",
    unchecked="the revocation endpoint and which member names the account",
)

"""Confluence Data Center. https://confluence.atlassian.com/doc/configure-an-incoming-link-1115674733.html"""

from applinks.providers.data_center import data_center
from applinks.providers.profile import Scope

CONFLUENCE = data_center(
    "Confluence",
    key="confluence",
    summary="Spaces and pages of a Confluence of your own",
    example="wiki.example.com",
    scopes=(
        Scope("READ", "see what the account sees"),
        Scope("WRITE", "change what the account may change"),
        Scope("ADMIN", "administer, as the account may"),
    ),
    userinfo="/rest/api/user/current",
    documentation_url="https://confluence.atlassian.com/doc/configure-an-incoming-link-1115674733.html",
    unchecked="the revocation endpoint and the userinfo endpoint",
)

"""Bitbucket Data Center, which has no endpoint that says who the account is.

https://confluence.atlassian.com/bitbucketserver/bitbucket-oauth-2-0-provider-api-1108483661.html
"""

from applinks.providers.data_center import data_center
from applinks.providers.profile import Scope

BITBUCKET_DATA_CENTER = data_center(
    "Bitbucket",
    key="bitbucket-data-center",
    summary="Repositories of a Bitbucket of your own",
    example="git.example.com",
    scopes=(
        Scope("REPO_READ", "read repositories"),
        Scope("REPO_WRITE", "write to repositories"),
        Scope("REPO_ADMIN", "administer repositories"),
        Scope("PROJECT_ADMIN", "administer projects"),
        Scope("ACCOUNT_WRITE", "change the account"),
    ),
    userinfo="",
    documentation_url="https://confluence.atlassian.com/bitbucketserver/bitbucket-oauth-2-0-provider-api-1108483661.html",
    unchecked="the revocation endpoint",
)

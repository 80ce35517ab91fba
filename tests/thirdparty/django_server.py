"""An authorization server that nobody here wrote: django-oauth-toolkit's, in a process of its own.

`python -m tests.thirdparty.django_server CONFIGURATION` prints its base URL, and ends when its standard input does.
"""

import hashlib
import json
import logging
import secrets
import sys
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

CONFIGURATION: dict[str, Any] = json.loads(sys.argv[1])
APPS = ["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"]
SIGN_IN_PAGE = '<form method="post">{% csrf_token %}{{ form.as_p }}<button>Sign in</button></form>'


def new_token(request: Any) -> str:
    return f"CANARY-{secrets.token_urlsafe()}"


settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=APPS,
    MIDDLEWARE=[
        f"{__name__}.remember",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIGRATION_MODULES={app.rpartition(".")[2]: None for app in APPS},  # the tables as they are now, in one step
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # the others are slow on purpose
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"registration/login.html": SIGN_IN_PAGE}),
                    "django.template.loaders.app_directories.Loader",
                ]
            },
        }
    ],
    LOGIN_URL="/sign-in/",
    STATIC_URL="/static/",
    LOGGING_CONFIG=None,
    OAUTH2_PROVIDER={
        "SCOPES": {"read": "Look", "write": "Change"},
        "ACCESS_TOKEN_EXPIRE_SECONDS": CONFIGURATION["life"],
        "ACCESS_TOKEN_GENERATOR": f"{__name__}.new_token",
        "REFRESH_TOKEN_GENERATOR": f"{__name__}.new_token",
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    },
)
django.setup()

# Models exist only now.
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import Application, RefreshToken  # noqa: E402
from oauth2_provider.urls import base_urlpatterns, metadata_urlpatterns  # noqa: E402
from oauth2_provider.views import IntrospectTokenView  # noqa: E402

asked: list[str] = []


def remember(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """How the client authenticated in each request to the token endpoint."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path == "/token/":
            in_body = "client_secret_post" if "client_secret" in request.POST else "none"
            asked.append("client_secret_basic" if "Authorization" in request.headers else in_body)
        return get_response(request)

    return middleware


class Introspection(IntrospectTokenView):
    """Its own endpoint knows access tokens alone."""

    @staticmethod
    def get_token_response(token_value: str | None = None) -> HttpResponse:
        checksum = hashlib.sha256((token_value or "").encode()).hexdigest()
        refresh_token = RefreshToken.objects.filter(token_checksum=checksum).first()
        if refresh_token is None:
            return IntrospectTokenView.get_token_response(token_value)
        return JsonResponse({"active": refresh_token.revoked is None})


@protected_resource()
def userinfo(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"email": request.resource_owner.email})


urlpatterns = [
    path("sign-in/", LoginView.as_view()),
    path("userinfo", userinfo),
    path("introspect", Introspection.as_view()),
    path("asked", lambda request: JsonResponse(asked, safe=False)),
    path("", include((metadata_urlpatterns + base_urlpatterns, "oauth2_provider"))),
]


def register_clients() -> None:
    def register(client_id: str, grant_type: str, *, public: bool = False) -> None:
        Application.objects.create(
            name=client_id,
            client_id=client_id,
            client_secret=CONFIGURATION["secret"],
            client_type=Application.CLIENT_PUBLIC if public else Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=grant_type,
            redirect_uris=CONFIGURATION["redirect_uri"],
        )

    for method, client_id in CONFIGURATION["clients"].items():
        register(client_id, Application.GRANT_AUTHORIZATION_CODE, public=method == "none")
    register(CONFIGURATION["machine"], Application.GRANT_CLIENT_CREDENTIALS)


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


def main() -> None:
    logging.getLogger("django.request").setLevel(logging.ERROR)  # every refusal is a warning to it
    call_command("migrate", run_syncdb=True, verbosity=0)
    register_clients()
    username = CONFIGURATION["username"]
    User.objects.create_user(username, f"{username}@third.example", CONFIGURATION["password"])
    # One request at a time, in this thread: a database in memory belongs to one connection.
    server = make_server("127.0.0.1", 0, WSGIHandler(), handler_class=QuietHandler)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()


if __name__ == "__main__":
    main()

"""What is served: `python -m benchmarks.applications KIND PORT`, each under waitress as Applinks itself starts it."""

import os
import sys

from flask import Flask
from waitress import serve

THREADS = 16


def hello() -> Flask:
    """The measure of everything: a bare Flask application."""
    app = Flask("hello")
    app.add_url_rule("/", view_func=lambda: "Hello")
    return app


def applinks() -> Flask:
    from applinks import create_app  # what isn't measured isn't loaded

    return create_app()


def uncounted() -> Flask:
    """Applinks without counting reads."""
    app = applinks()
    counts = app.extensions["applinks"].counts
    counts.add = counts.used = lambda *_: None
    return app


def authlib() -> Flask:
    from benchmarks.authlib_application import create_app

    return create_app(os.environ["PEER_DATABASE"])


KINDS = {"hello": hello, "applinks": applinks, "uncounted": uncounted, "authlib": authlib}

if __name__ == "__main__":
    kind, port = sys.argv[1:]
    if kind == "served":  # the whole command, with its refresher and its way of stopping
        from applinks.cli import main

        sys.exit(main(["serve"]))
    serve(KINDS[kind](), host="127.0.0.1", port=int(port), threads=THREADS, ident=None)

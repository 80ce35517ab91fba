"""The one entry: `python app.py [COMMAND]`. A WSGI server calls `app:create_app()`."""

import sys

from applinks import create_app
from applinks.cli import main

__all__ = ["create_app"]

if __name__ == "__main__":
    sys.exit(main())

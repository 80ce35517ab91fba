"""Static files: read, named by their content and compressed once at the start, then served from memory."""

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, abort, request

FOR_GOOD = "public, max-age=31536000, immutable"
_DIGEST_LENGTH = 12
_OWN = ("app.css", "app.js")
_COMMENT = re.compile(
    rb"^ *(//.*|/\*[^*]*\*/)\n|^ +", re.MULTILINE
)  # comments and indentation are for who reads the source


@dataclass(frozen=True)
class _Asset:
    kind: str
    content: bytes
    compressed: bytes
    etag: str


def install(app: Flask, folder: Path) -> Callable[[str], str]:
    """Serve a folder under `/static`, and return what tells a file's path there.

    A name with its digest never means anything else, and is kept for good.
    """
    assets: dict[str, _Asset] = {}
    names: dict[str, str] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content, name = file.read_bytes(), file.relative_to(folder).as_posix()
        if name in _OWN:
            content = _COMMENT.sub(b"", content)
        etag = hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH]
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        kind += "; charset=utf-8" if kind.startswith("text/") else ""
        names[name] = f"{name.removesuffix(file.suffix)}.{etag}{file.suffix}"
        assets[name] = assets[names[name]] = _Asset(kind, content, gzip.compress(content, 9, mtime=0), etag)
    named_by_digest = set(names.values())

    def serve(filename: str) -> Response:
        asset = assets.get(filename)
        if asset is None:
            abort(404)
        packed = bool(request.accept_encodings["gzip"])
        response = Response(asset.compressed if packed else asset.content, content_type=asset.kind)
        response.headers["Cache-Control"] = FOR_GOOD if filename in named_by_digest else "no-cache"
        response.vary.add("Accept-Encoding")
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        response.set_etag(asset.etag + ("-gzip" if packed else ""))
        response.make_conditional(request)
        return response

    app.add_url_rule("/static/<path:filename>", "static", serve)
    return lambda name: f"/static/{names[name]}"

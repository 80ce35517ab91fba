"""Compressing what holds no secret: beside one, its size would tell what it is (BREACH), so pages with a form never are."""

import gzip

from flask import Response, request


def compressed(response: Response) -> Response:
    """An answer in gzip where whoever asks takes that (RFC 9110 §12.5.3)."""
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(response.get_data(), 6, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response

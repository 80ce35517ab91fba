"""The headers of every answer, errors and static files included."""

from flask import Flask, Response, request

from applinks.web.current import services

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)


def install(app: Flask) -> None:
    @app.after_request
    def harden(response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        # With no-referrer, browsers send `Origin: null` on a form of our own, and it would be refused.
        headers.setdefault("Referrer-Policy", "same-origin")
        if services().settings.https:
            headers["Strict-Transport-Security"] = "max-age=63072000"
        if request.endpoint == "static" and response.status_code in (200, 304):
            headers["Cache-Control"] = "public, max-age=31536000, immutable" if request.args else "no-cache"
        else:
            headers["Cache-Control"] = "no-store"
            response.vary.add("Cookie")
        return response

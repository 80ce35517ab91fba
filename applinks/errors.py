"""The few errors that a person sees: each has a status and a plain sentence that says what to do."""


class AppError(Exception):
    """Something a person has to be told. `str()` of it is the sentence; it never holds a secret.

    `status` is the HTTP status of the page that shows it, `title` that page's heading; `code` is for programs, and never changes.
    """

    status = 400
    title = "This request can't be done"
    code = "refused"


class NotFoundError(AppError):
    """What was asked for isn't there, or not any more."""

    status = 404
    title = "Page not found"
    code = "not_found"


class SpentError(NotFoundError):
    """What was asked for worked once, or for a while."""

    title = "This address can't be used any more"


class ConflictError(AppError):
    """What was asked for contradicts what somebody else has just stored."""

    status = 409
    title = "Somebody was quicker"
    code = "conflict"


class UnauthorizedError(AppError):
    """Whoever asks hasn't shown a key that counts; which is wrong with it is never said (RFC 6750 §3)."""

    status = 401
    title = "An API key is needed"
    code = "unauthorized"

    challenge = 'Bearer realm="Applinks"'

    def __init__(self) -> None:
        super().__init__("Send an API key that is valid as Authorization: Bearer. An administrator makes one.")


class InvalidTokenError(UnauthorizedError):
    """Whoever asks has shown an access token that has expired, or was taken back."""

    title = "A new access token is needed"
    challenge = 'Bearer realm="Applinks", error="invalid_token"'

    def __init__(self) -> None:
        AppError.__init__(
            self, "This access token has expired, or was taken back. Refresh it, or ask for consent again."
        )


class ForbiddenError(AppError):
    """Whoever asks is known, and may not do this. `scope` is what an access token lacks for it (RFC 6750 §3.1)."""

    status = 403
    title = "This isn't permitted"
    code = "forbidden"

    def __init__(self, message: str, scope: str = "") -> None:
        super().__init__(message)
        self.challenge = f'Bearer realm="Applinks", error="insufficient_scope", scope="{scope}"' if scope else ""


class ConsentNeededError(ConflictError):
    """What was asked for needs a person with a browser."""

    title = "Consent is needed"
    code = "consent_needed"


class BusyError(AppError):
    """Too much is under way. `retry_after` is in seconds."""

    status = 503
    title = "Applinks is busy"
    code = "busy"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ThrottledError(BusyError):
    """Guessing is slowed; `retry_after` is in seconds."""

    status = 429
    title = "Too many tries"
    code = "too_many_tries"


class InvalidFieldError(AppError):
    """One field can't be accepted; `field` is its name in the form and in JSON."""

    status = 422
    title = "A field needs your attention"
    code = "invalid_field"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class InvalidFieldsError(AppError):
    """Fields that can't be accepted, each with what is wrong with it."""

    status = 422
    title = InvalidFieldError.title
    code = InvalidFieldError.code

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {message}" for name, message in fields.items()))
        self.fields = fields


class StartRefusedError(Exception):
    """The program must not start. `str()` is the one line for the console, `exit_status` the process's."""

    def __init__(self, message: str, exit_status: int = 2) -> None:
        super().__init__(message)
        self.exit_status = exit_status

"""Two ways to tell somebody something: e-mail, and a webhook signed as Standard Webhooks has it. Both by the guard.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
import smtplib
import socket
from base64 import b64encode
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

import requests

from applinks.crypto import mac
from applinks.oauth.guard import Guard
from applinks.settings import Smtp

SECONDS = 15.0


class NotSentError(Exception):
    """It wasn't taken; `str()` says why, without what was sent."""


class Webhook:
    def __init__(self, guard: Guard, url: str, secret: bytes) -> None:
        self._guard = guard
        self._url = url
        self._secret = secret

    def send(self, message_id: str, now: int, body: Mapping[str, Any]) -> None:
        """POST a body as JSON. Raises NotSentError for anything but an answer of 2xx."""
        content = json.dumps(body)
        signed = mac(self._secret, f"{message_id}.{now}.{content}")
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": f"v1,{b64encode(signed).decode()}",
        }
        with requests.Session() as session:
            self._guard.protect(session, SECONDS)
            try:
                answer = session.post(self._url, content.encode(), headers=headers, allow_redirects=False)
            except requests.RequestException as error:
                raise NotSentError(str(error)) from None
        if not 200 <= answer.status_code < 300:
            raise NotSentError(f"It answered {answer.status_code}.")


class Mail:
    def __init__(self, guard: Guard, server: Smtp, sender: str, recipients: tuple[str, ...]) -> None:
        self._guard = guard
        self._server = server
        self._sender = sender
        self._recipients = recipients

    def send(self, message_id: str, now: int, subject: str, text: str) -> None:
        """Raises NotSentError where the server doesn't take it for everybody."""
        message = EmailMessage()
        message["Subject"] = " ".join(subject.split())
        message["From"] = f"Applinks <{self._sender}>"
        message["To"] = ", ".join(self._recipients)
        message["Date"] = formatdate(now)
        message["Message-ID"] = f"<{message_id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5
        message.set_content(text)
        try:
            with _Guarded(self._guard, self._server) as server:
                if refused := server.send_message(message):
                    raise NotSentError(f"It wasn't taken for {', '.join(refused)}.")
        except ValueError:  # its words may hold a password
            raise NotSentError(
                "The user, the password or an address holds a character that mail can't carry."
            ) from None
        except smtplib.SMTPResponseException as error:
            raise NotSentError(f"The mail server answered {error.smtp_code}.") from None
        except smtplib.SMTPRecipientsRefused:
            raise NotSentError("The mail server takes it for none of the addresses.") from None
        except smtplib.SMTPNotSupportedError:
            raise NotSentError("The mail server offers no STARTTLS, or no sign-in.") from None
        except (smtplib.SMTPException, requests.RequestException, OSError) as error:
            raise NotSentError(str(error) or "The mail server can't be reached.") from None


class _Guarded(smtplib.SMTP):
    """Encrypted, but on this machine; at an address that the guard has looked at."""

    def __init__(self, guard: Guard, server: Smtp) -> None:
        self._guard = guard
        self._tls = server.tls
        super().__init__(server.host, server.port, timeout=SECONDS)
        try:
            if not server.tls and not self._is_here():
                self.starttls(context=guard.trust)
            if server.user:
                self.login(server.user, server.password)
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = self._guard.connect(host, port, timeout)
        return self._guard.trust.wrap_socket(plain, server_hostname=host) if self._tls else plain

    def _is_here(self) -> bool:
        return self.sock is not None and str(self.sock.getpeername()[0]) in ("127.0.0.1", "::1")

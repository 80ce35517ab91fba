"""What somebody who shows a key or a token may do, whichever it was."""

from dataclasses import dataclass

from applinks.errors import ForbiddenError
from applinks.models import ActorKind
from applinks.oauth.scopes import MANAGE_LINKS, READ_TOKENS, SEE_LINKS
from applinks.services.events import Actor


@dataclass(frozen=True)
class Access:
    """What may be done, who is that for the audit log, and from where.

    `link_ids` are the links that may be seen, `token_ids` those whose tokens may be read; None: all of them.
    """

    actor: Actor
    manages: bool
    link_ids: frozenset[str] | None
    token_ids: frozenset[str] | None

    def may_see(self, link_id: str) -> bool:
        return self.link_ids is None or link_id in self.link_ids

    def may_read_tokens(self, link_id: str) -> bool:
        return self.token_ids is None or link_id in self.token_ids

    def must_see(self) -> None:
        """Raises ForbiddenError where nothing may be seen at all."""
        if self.link_ids is not None and not self.link_ids and self._is_application:
            raise _lacks(SEE_LINKS)

    def must_read_tokens(self) -> None:
        """Raises ForbiddenError where no token may be read at all."""
        if self.token_ids is not None and not self.token_ids and self._is_application:
            raise _lacks(READ_TOKENS)

    def must_manage(self) -> None:
        """Raises ForbiddenError."""
        if not self.manages:
            if self._is_application:
                raise _lacks(MANAGE_LINKS)
            raise ForbiddenError("This API key reads tokens only. Make one that may manage links.")

    def must_see_all(self) -> None:
        """Raises ForbiddenError."""
        if self.link_ids is not None:
            raise ForbiddenError("This API key is for single links. Make one that is for all links.")

    @property
    def _is_application(self) -> bool:
        return self.actor.kind is ActorKind.APPLICATION


def _lacks(scope: str) -> ForbiddenError:
    return ForbiddenError(f"This access token isn't for that: it would need the scope {scope}.", scope)

"""Who comes in through an HTTP door: headers in, an entrant out, or the answer that keeps it out."""

from collections.abc import Container, Mapping
from typing import Any, Final

from gateway.access import Access
from gateway.addresses import plain
from gateway.auth import NOBODY, Authenticator, Door
from gateway.config import Config
from gateway.errors import FORBIDDEN, INVALID_REQUEST, UNAUTHORIZED, UNAVAILABLE, McpError
from gateway.narrowing import NAMES, Filter, narrowings
from gateway.protected_resource import base_url, door_of, metadata
from gateway.request import Entrant
from gateway.transports.guard import repeats
from gateway.unauthorized import Unauthorized
from policies.model import Caller

CODES: Final = {400: INVALID_REQUEST, 401: UNAUTHORIZED, 403: FORBIDDEN, 503: UNAVAILABLE}


class NotAdmitted(McpError):
    """The caller does not get in. ``challenge`` is the WWW-Authenticate value, empty where there is none."""

    def __init__(self, denial: Unauthorized) -> None:
        super().__init__(CODES[denial.status], denial.message, status=denial.status)
        self.challenge = denial.challenge


class Entrance:
    """The doors' entrance under one config. Every request passes it before anything of it is used."""

    def __init__(self, config: Config, authenticator: Authenticator | None, access: Access) -> None:
        self._auth = config.auth
        self._public_url = config.server.public_url
        self._scopes = {path: tuple(route.scopes) for path, route in config.routes.items()}
        self._prefixes = {name: entry.effective_prefix for name, entry in config.servers.items()}
        self._authenticator = authenticator
        self._access = access

    async def admit(self, scope: Mapping[str, Any], headers: Mapping[str, str], path: str) -> Entrant:
        """Tell who is calling. Raises `NotAdmitted`."""
        found = NOBODY
        if self._authenticator is not None:
            door = Door(path, self._scopes.get(path, ()))
            answer = await self._authenticator.identify(scope["headers"], door, scope.get("scheme", "http"))
            if isinstance(answer, Unauthorized):
                raise NotAdmitted(answer)
            found = answer
        filters: tuple[Filter, ...] = found.tools
        if not NAMES.isdisjoint(headers):
            filters = (*filters, *narrowings(scope["headers"], self._prefixes))
        trusted = self._access.policies(path).trusted_headers
        if any(repeats(scope["headers"], name.encode()) for name in trusted):
            # A client's own beside the one that a proxy has set: which of them to trust nobody has said.
            raise McpError(INVALID_REQUEST, "A header that rules read comes more than once", status=400)
        caller = Caller(
            found.identity,
            path=path,
            host=headers.get("host", ""),
            headers={name: headers[name] for name in trusted if name in headers} if trusted else {},
            address=plain((scope.get("client") or ("",))[0]),
        )
        return Entrant(caller, filters, found.ends, found.lasts)

    def metadata(self, path: str, doors: Container[str], host: str | None, scheme: str) -> dict[str, Any] | None:
        """The protected resource metadata (RFC 9728) asked for at ``path``, or None where there is none."""
        door = door_of(path, self._public_url, doors)
        base = base_url(self._public_url, host, scheme)
        if self._auth is None or not self._auth.jwt or base is None or door is None:
            return None
        return metadata(self._auth, base, door, self._scopes.get(door, ()))

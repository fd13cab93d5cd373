"""Opens legacy sessions over HTTP, some with a stream each, and keeps them; plain sockets and no MCP library."""

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import calls

SECONDS = 20.0  # for one answer


class Sessions:
    """The sessions at one URL; closing ends the streams and lets the sessions be."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._address, self._path = parts.netloc, parts.path
        self._headers = {**calls.TYPES, **headers}
        self._connection = http.client.HTTPConnection(self._address, timeout=SECONDS)
        self._streams: list[http.client.HTTPConnection] = []

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, *exc: object) -> None:
        for connection in (self._connection, *self._streams):
            connection.close()

    def open(self) -> dict[str, str]:
        """Opens one as a client does; gives the headers of its requests."""
        hello = {"protocolVersion": calls.LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        session = self._post(200, calls.request("initialize", hello), self._headers)
        headers = {**self._headers, "MCP-Protocol-Version": calls.LEGACY, "Mcp-Session-Id": session}
        self._post(202, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), headers)
        return headers

    def listen(self, headers: Mapping[str, str]) -> None:
        """Opens the stream of a session, on a connection of its own."""
        connection = http.client.HTTPConnection(self._address, timeout=SECONDS)
        self._streams.append(connection)
        connection.request("GET", self._path, headers={**headers, "Accept": "text/event-stream"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise calls.WrongAnswerError(f"a session's stream is answered {answer.status}")

    def _post(self, status: int, body: str, headers: Mapping[str, str]) -> str:
        self._connection.request("POST", self._path, body, dict(headers))
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != status:
            raise calls.WrongAnswerError(f"a session is answered {answer.status}: {text[:500]!r}")
        return answer.headers.get("Mcp-Session-Id", "")

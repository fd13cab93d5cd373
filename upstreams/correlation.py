"""Sans-io: which reply, progress and question of an upstream belongs to which of our calls."""

from collections.abc import Hashable
from typing import Any

from upstreams.channel import METHOD_NOT_FOUND, NO_CHANNEL, ClientChannel
from upstreams.connection import Call
from upstreams.errors import ConnectionLost, ErrorReply

INTERNAL_ERROR = -32603  # JSON-RPC 2.0 §5.1


class Correlator:
    """Mints ids and progress tokens for one connection and matches what comes back.

    Ids are never reused, so a late or repeated reply finds nothing and is dropped by its receiver.
    """

    def __init__(self) -> None:
        self._next = 0
        self._calls: dict[int, Call] = {}
        self.unmatched = 0

    def begin(self, call: Call) -> dict[str, Any]:
        """Register ``call``; returns the JSON-RPC request to send, its progress token replaced by ours."""
        self._next = call.id = number = self._next + 1
        self._calls[number] = call
        params = call.params
        meta = params.get("_meta")
        if isinstance(meta, dict) and (token := meta.get("progressToken")) is not None:
            call.client_token = token
            params = {**params, "_meta": {**meta, "progressToken": number}}
        return {"jsonrpc": "2.0", "id": number, "method": call.method, "params": params}

    def end(self, call: Call) -> None:
        """Forget the call, however it ended."""
        self._calls.pop(call.id, None)

    def settle(self, message: dict[str, Any]) -> bool:
        """Give a reply to the call that it answers; False for an unknown, late or repeated one."""
        reply_id = message.get("id")
        # bool is an int in Python, and "1" is not 1: the type must be the one that we sent
        call = self._calls.get(reply_id) if type(reply_id) is int else None
        if call is None or call.reply is None or call.reply.done():
            self.unmatched += 1
            return False
        outcome = reply_outcome(message)
        if isinstance(outcome, dict):
            call.reply.set_result(outcome)
        else:
            call.reply.set_exception(outcome)
        return True

    def progress(self, params: dict[str, Any]) -> bool:
        """Give a progress notification to its call; False when the token is not one of ours."""
        token = params.get("progressToken")
        call = self._calls.get(token) if type(token) is int else None
        if call is None:
            return False
        call.progress(params)
        return True

    def sole_channel(self) -> ClientChannel:
        """The one client that all calls in flight come from, or `NO_CHANNEL`.

        On a pipe shared by several clients nothing says whose call a question or a log line belongs to (MCP
        2025-11-25, basic/transports), and a guess would show one client's data to another.
        """
        clients: dict[Hashable, ClientChannel] = {}
        for call in self._calls.values():
            if call.channel is not NO_CHANNEL:
                clients[call.channel.client] = call.channel
        return next(iter(clients.values())) if len(clients) == 1 else NO_CHANNEL

    def asking(self, channel: ClientChannel) -> None:
        """The client is being asked something for one of its calls: they all get the time that a person needs."""
        for call in self._calls.values():
            if call.channel.client == channel.client and call.asked is not None:
                call.asked()

    def fail_all(self, reason: str) -> None:
        """Fail every call in flight: the connection is gone."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if call.reply is not None and not call.reply.done():
                call.reply.set_exception(ConnectionLost(reason))


def reply_outcome(message: dict[str, Any]) -> dict[str, Any] | ErrorReply:
    """Read the outcome of a JSON-RPC response; what is neither a result object nor an error becomes an error."""
    result = message.get("result")
    if isinstance(result, dict):
        return result
    error = message.get("error")
    if isinstance(error, dict) and type(error.get("code")) is int:
        return ErrorReply(error["code"], str(error.get("message", "")), error.get("data"))
    return ErrorReply(INTERNAL_ERROR, "The upstream answered with neither a result nor an error")


async def answer(channel: ClientChannel, message: dict[str, Any]) -> dict[str, Any]:
    """Answer a request of an upstream through the client that it belongs to; returns the JSON-RPC response."""
    method, params = message["method"], message.get("params")
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if method == "ping":
        return {**reply, "result": {}}
    if method not in ASKABLE:
        return {**reply, "error": {"code": METHOD_NOT_FOUND, "message": f"Method not found: {method}"}}
    try:
        return {**reply, "result": await channel.ask(method, params if isinstance(params, dict) else {})}
    except ErrorReply as exc:
        error = {"code": exc.code, "message": exc.message, **({} if exc.data is None else {"data": exc.data})}
        return {**reply, "error": error}


ASKABLE = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
"""What a legacy server may ask of a client, and the capability with which the client allows it."""

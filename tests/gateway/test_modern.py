import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.eras.modern import ModernCall, answer_modern, loud_enough, shape_tool, stamp
from gateway.errors import McpError, ResourceNotFound
from gateway.request import Entrant
from gateway.service import Service
from policies.model import ANONYMOUS, Caller
from upstreams.errors import ErrorReply

INFO = {"name": "gate", "version": "1"}
SERVER_INFO = {"io.modelcontextprotocol/serverInfo": INFO}


class Silent:
    def send(self, message: dict[str, Any]) -> bool:
        return False


def call(method: str, failure: Exception) -> None:
    async def handle(request: Any) -> dict[str, Any]:
        raise failure

    service = cast("Service", SimpleNamespace(relay=SimpleNamespace(handle=handle), info=INFO))
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "x", "_meta": {}}}
    entrant = Entrant(Caller(ANONYMOUS))
    asyncio.run(answer_modern(service, ModernCall(message, {}, None, entrant, "/mcp", Silent(), "client")))


def test_a_resource_that_is_not_there_has_the_code_of_this_version() -> None:
    with pytest.raises(McpError) as caught:
        call("resources/read", ResourceNotFound("note:///9"))
    assert (caught.value.code, caught.value.data) == (-32602, {"uri": "note:///9"})


@pytest.mark.parametrize(("code", "instead"), [(-32002, -32602), (-32042, -32603)])
def test_codes_of_older_servers_never_reach_a_modern_client(code: int, instead: int) -> None:
    with pytest.raises(McpError) as caught:
        call("tools/call", ErrorReply(code, "m", {"d": 1}))
    assert (caught.value.code, caught.value.message, caught.value.status) == (instead, "m", 200)


def test_other_codes_of_an_upstream_pass() -> None:
    with pytest.raises(ErrorReply) as caught:
        call("tools/call", ErrorReply(-32099, "m"))
    assert caught.value.code == -32099


def test_a_result_is_complete_and_says_whose_it_is() -> None:
    service = cast("Service", SimpleNamespace(info=INFO))
    assert stamp(service, "tools/call", {"content": []}) == {
        "resultType": "complete",
        "content": [],
        "_meta": SERVER_INFO,
    }


def test_an_upstreams_name_does_not_stand_in_for_the_gateways() -> None:
    service = cast("Service", SimpleNamespace(info=INFO))
    theirs = {"_meta": {"io.modelcontextprotocol/serverInfo": {"name": "other"}, "vendor": 1}}
    assert stamp(service, "tools/call", theirs)["_meta"] == {**SERVER_INFO, "vendor": 1}


def test_what_can_be_kept_says_for_how_long_and_a_question_does_not() -> None:
    service = cast("Service", SimpleNamespace(info=INFO))
    assert stamp(service, "resources/read", {"contents": []})["ttlMs"] == 0
    assert stamp(service, "resources/read", {"contents": [], "ttlMs": 5})["ttlMs"] == 5
    assert "ttlMs" not in stamp(service, "resources/read", {"resultType": "input_required"})


def test_a_log_message_is_as_loud_as_the_client_asked() -> None:
    assert loud_enough({"level": "error"}, "warning")
    assert not loud_enough({"level": "info"}, "warning")
    assert not loud_enough({"level": "error"}, None)


def test_task_execution_is_left_out_of_a_tool() -> None:
    assert shape_tool({"name": "a", "execution": {}, "vendor": 1}) == {"name": "a", "vendor": 1}

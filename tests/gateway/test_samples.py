"""The sample servers over stdio, in both eras, as a client of the SDK sees them."""

import base64
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp.shared.subscriptions import ResourcesListChanged
from mcp_types import (
    ElicitRequestParams,
    ElicitResult,
    LoggingMessageNotificationParams,
    PromptReference,
    ResourceListChangedNotification,
    ResourceTemplateReference,
)

MODES = ("legacy", "auto")
WAIT_SECONDS = 20  # a loaded machine starts Python slowly

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connected(sample: str, mode: str, **options: Any) -> Client:
    """A client of one sample server that waits a bounded time for each answer."""
    program = StdioServerParameters(command=sys.executable, args=["-m", f"gateway.samples.{sample}"])
    return Client(program, mode=mode, read_timeout_seconds=WAIT_SECONDS, **options)


@pytest.fixture(scope="module")
async def notes(mode: str) -> AsyncIterator[Client]:
    """One notebook for the tests that only read it: starting a server is most of a test's time."""
    async with connected("notes", mode) as client:
        yield client


@pytest.fixture(scope="module")
async def weather(mode: str) -> AsyncIterator[Client]:
    async with connected("weather", mode) as client:
        yield client


async def structured(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def test_notes_lists_what_it_offers(notes: Client) -> None:
    tools = {tool.name: tool for tool in (await notes.list_tools()).tools}
    prompts = (await notes.list_prompts()).prompts
    resources = (await notes.list_resources()).resources
    templates = (await notes.list_resource_templates()).resource_templates
    capabilities, info = notes.server_capabilities, notes.server_info
    assert list(tools) == ["add_note", "list_notes", "search_notes", "delete_note", "import_notes", "delete_all"]
    assert all(tool.output_schema and tool.description and tool.annotations for tool in tools.values())
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert [name for name, hint in hints.items() if hint and hint.read_only_hint] == ["list_notes", "search_notes"]
    assert [name for name, hint in hints.items() if hint and hint.destructive_hint] == ["delete_note", "delete_all"]
    assert [(prompt.name, [a.name for a in prompt.arguments or []]) for prompt in prompts] == [("summarize", ["tag"])]
    assert [resource.uri for resource in resources] == ["note:///1", "note:///2", "note:///3"]
    assert [template.uri_template for template in templates] == ["note:///{id}"]
    assert capabilities.resources is not None
    assert capabilities.resources.list_changed
    assert capabilities.completions is not None
    assert capabilities.logging is not None
    assert info is not None
    assert info.name == "notes"


async def test_a_note_is_added_found_read_and_deleted(mode: str) -> None:
    async with connected("notes", mode) as client:
        note = await structured(client, "add_note", {"text": "Water the Ficus", "tags": ["home"]})
        assert note == {"id": 4, "text": "Water the Ficus", "tags": ["home"]}
        assert await structured(client, "search_notes", {"query": "ficus WATER"}) == {"notes": [note]}
        assert await structured(client, "list_notes", {"tag": "home"}) == {"notes": [note]}
        assert (await client.read_resource("note:///4")).contents[0].text == "Water the Ficus"  # type: ignore[union-attr]
        assert await structured(client, "delete_note", {"id": 4}) == {"deleted": 1}
        again = await client.call_tool("delete_note", {"id": 4})
        assert again.is_error
        with pytest.raises(MCPError, match="No note has the id 4"):
            await client.read_resource("note:///4")


async def test_arguments_complete_and_the_prompt_uses_them(notes: Client) -> None:
    tags = await notes.complete(PromptReference(name="summarize"), {"name": "tag", "value": "w"})
    ids = await notes.complete(ResourceTemplateReference(uri="note:///{id}"), {"name": "id", "value": ""})
    prompt = await notes.get_prompt("summarize", {"tag": "work"})
    assert tags.completion.values == ["weekend", "work"]
    assert ids.completion.values == ["1", "2", "3"]
    text = prompt.messages[0].content.text  # type: ignore[union-attr]
    assert "Ada" in text
    assert "oat milk" not in text


async def test_an_import_reports_progress_and_logs(mode: str) -> None:
    logs: list[Any] = []
    steps: list[tuple[float, float | None]] = []

    async def on_log(params: LoggingMessageNotificationParams) -> None:
        logs.append((params.level, params.logger, params.data))

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total))

    async with connected("notes", mode, logging_callback=on_log, log_level="info") as client:
        result = await client.call_tool("import_notes", {"texts": ["a", "b", "c"]}, progress_callback=on_progress)
    assert result.structured_content is not None
    assert [note["id"] for note in result.structured_content["notes"]] == [4, 5, 6]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert logs == [("info", "notes", "importing 3 notes"), ("info", "notes", "imported 3 notes")]


async def test_a_legacy_client_sets_the_log_level() -> None:
    logs: list[Any] = []

    async def on_log(params: LoggingMessageNotificationParams) -> None:
        logs.append(params.data)

    async with connected("notes", "legacy", logging_callback=on_log) as client:
        with pytest.warns(UserWarning, match="deprecated"):
            await client.set_logging_level("warning")
        await structured(client, "import_notes", {"texts": ["a"]})
    assert logs == []


async def test_a_legacy_client_hears_that_the_resource_list_changed() -> None:
    changed = anyio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceListChangedNotification):
            changed.set()

    async with connected("notes", "legacy", message_handler=on_message) as client:
        await structured(client, "add_note", {"text": "new"})
        with anyio.fail_after(WAIT_SECONDS):
            await changed.wait()
        assert (await client.list_resources()).resources[-1].title == "new"


async def test_a_modern_client_hears_that_the_resource_list_changed() -> None:
    async with connected("notes", "auto") as client, client.listen(resources_list_changed=True) as changes:
        await structured(client, "add_note", {"text": "new"})
        with anyio.fail_after(WAIT_SECONDS):
            assert isinstance(await anext(aiter(changes)), ResourcesListChanged)
        assert (await client.list_resources()).resources[-1].title == "new"


async def test_delete_all_asks_the_user_first(mode: str) -> None:
    questions: list[str] = []
    answers = iter(
        [
            ElicitResult(action="decline"),
            ElicitResult(action="accept", content={"confirm": False}),
            ElicitResult(action="accept", content={"confirm": True}),
        ]
    )

    async def on_elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        questions.append(params.message)
        return next(answers)

    async with connected("notes", mode, elicitation_callback=on_elicit) as client:
        deleted = [await structured(client, "delete_all", {}) for _ in range(3)]
        assert (await client.list_resources()).resources == []
    assert deleted == [{"deleted": 0}, {"deleted": 0}, {"deleted": 3}]
    assert questions == ["Delete all 3 notes? This cannot be undone."] * 3


async def test_delete_all_is_refused_to_a_client_that_cannot_ask(notes: Client) -> None:
    with pytest.raises(MCPError, match="elicitation"):
        await notes.call_tool("delete_all", {})
    assert len((await notes.list_resources()).resources) == 3


async def test_weather_is_the_same_every_time(weather: Client) -> None:
    tools = (await weather.list_tools()).tools
    forecast = await structured(weather, "forecast", {"city": "Bern"})
    shouted = await structured(weather, "forecast", {"city": " BERN ", "days": 1})
    comparison = await structured(weather, "compare", {"cities": ["Bern", "Oslo", "Lima"]})
    assert [tool.name for tool in tools] == ["forecast", "compare", "icon"]
    assert "Invented" in (weather.instructions or "")
    assert forecast["days"][0] == {"day": 0, "condition": "sunny", "high_c": 21, "low_c": 12, "rain_percent": 0}
    assert len(forecast["days"]) == 3
    assert shouted["days"] == forecast["days"][:1]
    assert {comparison["warmest"], comparison["driest"]} <= {"Bern", "Oslo", "Lima"}
    assert comparison["cities"][0]["days"] == forecast["days"][:1]


async def test_an_argument_out_of_range_is_an_error_the_model_can_read(weather: Client) -> None:
    result = await weather.call_tool("forecast", {"city": "Bern", "days": 8})
    assert result.is_error
    assert "days" in str(result.content)


async def test_the_icon_is_a_png(weather: Client) -> None:
    result = await weather.call_tool("icon", {"condition": "rainy"})
    (image,) = result.content
    assert image.type == "image"
    assert image.mime_type == "image/png"
    data = base64.b64decode(image.data)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert result.structured_content is None

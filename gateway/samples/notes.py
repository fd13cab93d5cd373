"""A notebook in memory, as an MCP server over stdio: ``python -m gateway.samples.notes``.

Shows tools with output schemas and honest annotations, prompts and completion, resources that come and go, progress,
log messages, and a question to the user before something is lost. Nothing touches the disk or the network.
"""

from itertools import count
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    Resource,
    ResourceTemplateReference,
    ToolAnnotations,
)
from pydantic import BaseModel, Field

from gateway.samples.server import SampleServer, main

NOTES_MAX = 1000  # the notebook lives in memory, and anyone who reaches the demo can write
COMPLETIONS_MAX = 100  # MCP 2025-11-25, server/utilities/completion

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
DELETES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

Text = Annotated[str, Field(min_length=1, max_length=4000, description="What the note says.")]
Tag = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]


class Note(BaseModel):
    """One note; ``note:///{id}`` is its resource."""

    id: int
    text: str
    tags: list[str] = []


class Notes(BaseModel):
    """Notes in the order in which they were written."""

    notes: list[Note]


class Deleted(BaseModel):
    """How many notes a call deleted; 0 when the user said no."""

    deleted: int


class Confirm(BaseModel):
    """The form that a user fills in before everything is deleted."""

    confirm: bool = Field(description="Delete them all?")


class NotesServer(SampleServer):
    """Lists its notes as resources straight from the notebook, so that the list is never behind it."""

    async def list_resources(self) -> list[Resource]:
        return [
            Resource(uri=f"note:///{note.id}", name=f"note-{note.id}", title=note.text[:40], mime_type="text/plain")
            for note in notebook.values()
        ]


server = NotesServer(
    "notes",
    title="Notes",
    instructions="A notebook in memory. Search before adding, so that no note is written twice. It forgets at exit.",
)
ids = count(1)
notebook: dict[int, Note] = {}


def write(text: str, tags: list[str]) -> Note:
    """Put a note into the notebook; a full notebook is an error that the model can read."""
    if len(notebook) >= NOTES_MAX:
        raise ToolError(f"The notebook is full: {NOTES_MAX} notes. Delete some first.")
    note = Note(id=next(ids), text=text, tags=tags)
    notebook[note.id] = note
    return note


write("Buy oat milk and coffee beans", ["shopping"])
write("Ask Ada about the release checklist", ["work"])
write("The tram to the lake leaves at 9:12 on Sundays", ["travel", "weekend"])


@server.tool(title="Add a note", annotations=ADDS)
async def add_note(text: Text, ctx: Context[Any, Any], tags: Annotated[list[Tag], Field(max_length=10)] = []) -> Note:  # noqa: B006
    """Write one note and return it with its id."""
    note = write(text, tags)
    await server.resources_changed(ctx)
    return note


@server.tool(title="List notes", annotations=READS)
async def list_notes(tag: Annotated[str | None, Field(description="Only notes with this tag.")] = None) -> Notes:
    """List all notes, or those with one tag."""
    return Notes(notes=[note for note in notebook.values() if tag is None or tag in note.tags])


@server.tool(title="Search notes", annotations=READS)
async def search_notes(query: Annotated[str, Field(min_length=1, description="Words, in any case.")]) -> Notes:
    """Find the notes that contain every word of the query."""
    words = query.casefold().split()
    return Notes(notes=[note for note in notebook.values() if all(word in note.text.casefold() for word in words)])


@server.tool(title="Delete a note", annotations=DELETES)
async def delete_note(id: int, ctx: Context[Any, Any]) -> Deleted:
    """Delete the note with this id."""
    if notebook.pop(id, None) is None:
        raise ToolError(f"No note has the id {id}.")
    await server.resources_changed(ctx)
    return Deleted(deleted=1)


@server.tool(title="Import notes", annotations=ADDS)
async def import_notes(
    texts: Annotated[list[Text], Field(min_length=1, max_length=100)],
    ctx: Context[Any, Any],
    delay_ms: Annotated[int, Field(ge=0, le=5000, description="Pause after each, to watch the progress.")] = 0,
) -> Notes:
    """Write many notes, with progress after each and a log message at both ends; what is written stays on cancel."""
    await server.say(ctx, "info", f"importing {len(texts)} notes")
    written: list[Note] = []
    try:
        for text in texts:
            written.append(write(text, ["imported"]))
            await ctx.report_progress(len(written), len(texts), f"note {written[-1].id}")
            await anyio.sleep(delay_ms / 1000)
    finally:
        with anyio.move_on_after(1, shield=True):
            await server.resources_changed(ctx)
    await server.say(ctx, "info", f"imported {len(written)} notes")
    return Notes(notes=written)


async def ask_to_delete() -> Elicit[Confirm]:
    """The question names the count: when it changes before the answer, the answer no longer fits and is asked anew."""
    return Elicit(f"Delete all {len(notebook)} notes? This cannot be undone.", Confirm)


@server.tool(title="Delete all notes", annotations=DELETES)
async def delete_all(
    answer: Annotated[ElicitationResult[Confirm], Resolve(ask_to_delete)], ctx: Context[Any, Any]
) -> Deleted:
    """Delete every note, after asking the user; needs a client that supports elicitation."""
    if not (isinstance(answer, AcceptedElicitation) and answer.data.confirm):
        return Deleted(deleted=0)
    deleted = len(notebook)
    notebook.clear()
    await server.resources_changed(ctx)
    return Deleted(deleted=deleted)


@server.resource("note:///{id}", name="note", title="A note", mime_type="text/plain")
async def read_note(id: str) -> str:
    """The text of one note."""
    note = notebook.get(int(id)) if id.isdecimal() else None
    if note is None:
        raise ResourceNotFoundError(f"No note has the id {id}.")
    return note.text


@server.prompt(title="Summarize notes")
async def summarize(tag: Annotated[str, Field(description="Only notes with this tag; empty for all.")] = "") -> str:
    """Ask for a short summary of the notes, or of those with one tag."""
    texts = [f"- {note.text}" for note in notebook.values() if not tag or tag in note.tags]
    return "Summarize these notes in three sentences or fewer:\n\n" + ("\n".join(texts) or "(no notes)")


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK leaves it untyped
async def complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, _: CompletionContext | None
) -> Completion:
    """Complete the prompt's ``tag`` and the resource template's ``id`` from what the notebook holds."""
    known = {
        "tag": sorted({tag for note in notebook.values() for tag in note.tags}),
        "id": [str(id) for id in notebook],
    }
    fits = [value for value in known.get(argument.name, []) if value.startswith(argument.value)]
    return Completion(values=fits[:COMPLETIONS_MAX], total=len(fits), has_more=len(fits) > COMPLETIONS_MAX)


if __name__ == "__main__":
    main(server)

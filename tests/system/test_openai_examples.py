"""The examples for OpenAI's own packages: a model asks, the user reviews, the gateway executes, the model goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from gateway.api_keys import new_key
from tests.fixtures.gate import entry
from tests.fixtures.gateways import ROOT, Served, serving, until_ready
from tests.fixtures.model_server import Model, model_server
from tests.fixtures.node import MODULES, node22

SECONDS = 60.0  # for one whole conversation on a loaded machine
KEY, KEY_ENTRY = new_key("app")
EXAMPLES = ROOT / "examples"
OPENAI_PYTHON = ROOT / ".cache/clients/openai" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
FILESYSTEM = MODULES / "@modelcontextprotocol/server-filesystem/dist/index.js"

Program = list[str | Path]
Setup = Callable[[Path], Program]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file."""
    notes = tmp_path_factory.mktemp("notes")
    (notes / "notes.txt").write_text("Buy milk")
    return notes


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, notes: Path) -> Iterator[Served]:
    filesystem = {"command": str(node22()), "args": [str(FILESYSTEM), str(notes)], "required": True}
    auth = {"mode": "strict", "api_keys": [entry(KEY_ENTRY)]}
    with serving(tmp_path_factory.mktemp("examples"), {"filesystem": filesystem}, auth=auth) as served:
        until_ready(served.url)
        yield served


def python(folder: Path) -> Program:
    if not OPENAI_PYTHON.exists():
        raise FileNotFoundError(f"{OPENAI_PYTHON} is missing: run make test-setup")
    return [OPENAI_PYTHON, EXAMPLES / "openai-python" / "ask.py"]


def typescript(folder: Path) -> Program:
    """A copy: Node looks for packages beside the program, and takes no types off what lies in `node_modules`."""
    copy = shutil.copytree(
        EXAMPLES / "openai-typescript", folder / "example", ignore=shutil.ignore_patterns("node_modules")
    )
    (copy / "node_modules").symlink_to(MODULES, target_is_directory=True)
    return [node22(), copy / "ask.ts"]


PROGRAMS = {"python": python, "typescript": typescript}
every_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
FLOWS = {"/v1/chat/completions": [], "/v1/responses": ["--responses"]}
both_flows = pytest.mark.parametrize(("path", "flow"), FLOWS.items(), ids=["chat", "responses"])


def asked(
    program: Program, served: Served, model: Model, answers: str, key: str = KEY
) -> subprocess.CompletedProcess[str]:
    """Run an example with one question; `answers` are what the user types at the reviews."""
    environ: Mapping[str, str] = {
        **os.environ,
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": model.url,
        "ONEGATE_URL": served.root,
        "ONEGATE_KEY": key,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    argv = [*program, "What is in my notes?"]
    return subprocess.run(argv, env=environ, input=answers, capture_output=True, text=True, timeout=SECONDS)


@every_program
@both_flows
def test_a_model_uses_the_tools_that_the_user_approves(
    program: Setup, path: str, flow: list[str], served: Served, notes: Path, tmp_path: Path
) -> None:
    wishes = [
        ("filesystem_read_text_file", json.dumps({"path": str(notes / "notes.txt")})),
        ("filesystem_write_file", json.dumps({"path": str(notes / "spam.txt"), "content": "spam"})),
        ("filesystem_format_disk", "{}"),
        ("filesystem_read_text_file", json.dumps({"path": str(notes / "missing.txt")})),
        ("filesystem_list_allowed_directories", ""),
    ]
    with model_server(*wishes) as model:
        ran = asked([*program(tmp_path), *flow], served, model, "y\nn\ny\ny\ny\n")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("I was told 5 things, at first: Buy milk\n")
    assert model.asked == [path, path]
    assert "filesystem_write_file" in model.offered
    read, declined, unknown, failed, listed = model.told
    assert read == "Buy milk"
    assert declined == "The user declined this call."
    assert not (notes / "spam.txt").exists()
    assert unknown == "Tool 'filesystem_format_disk' is not allowed for this request"
    assert "ENOENT" in failed
    assert str(notes) in listed


@every_program
def test_a_key_that_is_not_known_ends_the_program_with_the_reason(
    program: Setup, served: Served, tmp_path: Path
) -> None:
    with model_server() as model:
        ran = asked(program(tmp_path), served, model, "", key="og_unknown")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("onegate: ")
    assert model.asked == []

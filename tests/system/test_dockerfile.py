"""Does the Dockerfile's steps without a container engine: each stage is a directory that stands for its file system.

Only what COPY names is there. Absolute paths are rewritten into the stage's directory, which is moved away when the
stage ends, so that a path into an ended stage works no more, as in an image.
"""

import fnmatch
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / ".cache/wheels"  # from make test-setup; without it pip asks its registry, as it does in an image
PATHS = re.compile(r"(?<![\w.$/}])/(?=(?:opt|src|var|etc)\b)")  # the absolute paths that the stages use
STEP_SECONDS = 180
FLAGS = ("--from=", "--chown=", "--chmod=")

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform == "win32", reason="the image is a Linux one; its steps need a POSIX shell"),
]


@dataclass
class Stage:
    """One FROM and what its instructions left behind; `root` is where its file system lies while it is built."""

    name: str
    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    settings: dict[str, str] = field(default_factory=dict)

    def inside(self, text: str) -> str:
        return PATHS.sub(f"{self.root}/", text)

    def path(self, name: str) -> Path:
        return self.root / self.workdir.lstrip("/") / name if not name.startswith("/") else self.root / name[1:]

    def environment(self) -> dict[str, str]:
        """The base image's environment and the ENV lines; where pip looks is ours, so that the test is quick."""
        image = {"PATH": f"{self.root}/base:/usr/bin:/bin", "HOME": str(self.root)}
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        pip |= {"PIP_CACHE_DIR": str(Path.home() / ".cache/pip"), "PIP_NO_CACHE_DIR": "0", "PIP_NO_COMPILE": "1"}
        if (WHEELS / ".downloaded").exists():
            pip |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
        declared = {name: self.inside(value).replace("$PATH", image["PATH"]) for name, value in self.env.items()}
        return {**image, **declared, **pip}

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Runs one command as the image would; its first word is found on the image's PATH."""
        environment = self.environment()
        program = shutil.which(command[0], path=environment["PATH"])
        assert program is not None, f"{command[0]} is not on the image's PATH"
        return subprocess.run(
            [program, *command[1:]],
            cwd=self.path("."),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=STEP_SECONDS,
        )


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continuation lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, re.sub(r"\s+", " ", rest)


def in_build_context(source: str) -> bool:
    """Whether .dockerignore lets a path in: its last matching line decides."""
    included = True
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!")
        if fnmatch.fnmatch(source, pattern) or source.startswith(f"{pattern}/"):
            included = line.startswith("!")
    return included


class Build:
    """Executes instructions stage by stage in a scratch directory."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.stages: dict[str, Path] = {}
        self.stage: Stage | None = None

    def run(self, text: str) -> Stage:
        for word, rest in instructions(text):
            getattr(self, f"do_{word.lower()}")(rest)
        return self.current

    @property
    def current(self) -> Stage:
        assert self.stage is not None, "an instruction before FROM"
        return self.stage

    def do_from(self, rest: str) -> None:
        image, _, name = rest.partition(" AS ")
        assert image == "python:3.11-slim"
        if self.stage is not None:
            self.stages[self.stage.name] = self.stage.root.rename(self.scratch / f"ended-{self.stage.name}")
        root = self.scratch / "root"
        (root / "base").mkdir(parents=True)
        (root / "base/python").symlink_to(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
        for directory in ("opt", "etc", "var/lib"):
            (root / directory).mkdir(parents=True)
        self.stage = Stage(name, root)

    def do_env(self, rest: str) -> None:
        self.current.env |= dict(pair.partition("=")[::2] for pair in shlex.split(rest))

    def do_workdir(self, rest: str) -> None:
        self.current.workdir = rest
        self.current.path(".").mkdir(parents=True, exist_ok=True)

    def do_copy(self, rest: str) -> None:
        words = rest.split()
        flags = dict(word[2:].split("=") for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        assert all(f"--{flag}=" in FLAGS for flag in flags), flags
        destination = self.current.path(target)
        for source in sources:
            if "from" in flags:
                origin = self.stages[flags["from"]] / source.lstrip("/")
            else:
                assert in_build_context(source), f"{source} is kept out by .dockerignore"
                origin = ROOT / source
            copied = copy(origin, destination, into=target.endswith("/") or len(sources) > 1)
            if "chmod" in flags:
                copied.chmod(int(flags["chmod"], 8))

    def do_run(self, rest: str) -> None:
        result = self.current.run(["sh", "-ec", self.current.inside(rest)])
        assert result.returncode == 0, f"RUN {rest}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"

    def do_user(self, rest: str) -> None:
        self.current.user = rest

    def do_expose(self, rest: str) -> None:
        self.current.settings["EXPOSE"] = rest

    def do_healthcheck(self, rest: str) -> None:
        self.current.settings["HEALTHCHECK"] = rest.partition("CMD ")[2]

    def do_entrypoint(self, rest: str) -> None:
        self.current.settings["ENTRYPOINT"] = rest

    def do_cmd(self, rest: str) -> None:
        self.current.settings["CMD"] = rest


def copy(origin: Path, destination: Path, *, into: bool) -> Path:
    """COPY's rule: a directory's content goes to the destination, a file into it when it is a directory."""
    assert origin.exists(), f"COPY of {origin}, which is not there"
    if origin.is_dir():
        skip = shutil.ignore_patterns("__pycache__")
        return Path(shutil.copytree(origin, destination, symlinks=True, dirs_exist_ok=True, ignore=skip))
    if into:
        destination.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(origin, destination))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Build(tmp_path_factory.mktemp("image")).run((ROOT / "Dockerfile").read_text())


def command(image: Stage, *names: str) -> list[str]:
    """The exec form of ENTRYPOINT, CMD or HEALTHCHECK."""
    return [word for name in names for word in json.loads(image.settings[name])]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_entry_point_starts(image: Stage, option: str) -> None:
    result = image.run([*command(image, "ENTRYPOINT"), option])
    assert result.returncode == 0, result.stderr
    assert "onegate" in result.stdout


def test_the_default_command_has_options_that_exist(image: Stage) -> None:
    result = image.run([*command(image, "ENTRYPOINT", "CMD"), "--help"])
    assert result.returncode == 0, result.stderr


def test_every_file_of_the_packages_is_in_the_image(image: Stage) -> None:
    (installed,) = (image.root / "opt/onegate").glob("lib/*/site-packages")
    for package in ("gateway", "policies", "upstreams"):
        assert files(ROOT / package), package
        assert files(installed / package) == files(ROOT / package)


def files(package: Path) -> set[str]:
    """Every module, and what lies beside them: pages, tables."""
    kept = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(package)) for path in kept}


def test_it_does_not_run_as_root(image: Stage) -> None:
    assert image.user.split(":")[0] not in {"", "0", "root"}


def test_the_state_directory_is_private(image: Stage) -> None:
    home = Path(image.environment()["HOME"])
    assert home.is_relative_to(image.root)
    assert home.stat().st_mode & 0o777 == 0o700


def test_nothing_but_python_and_the_environment_is_in_the_final_stage(image: Stage) -> None:
    assert {path.name for path in (image.root / "opt").iterdir()} == {"onegate"}
    packages = {path.name.lower() for path in (image.root / "opt/onegate").glob("lib/*/site-packages/*")}
    assert not packages & {"pip", "setuptools", "hatchling", "pytest", "mypy"}


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_follows_the_status(image: Stage, status: int, healthy: bool) -> None:
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        image.env["ONEGATE_HEALTH_PORT"] = str(server.server_port)
        image.env["http_proxy"] = "http://127.0.0.1:9"
        assert (image.run(command(image, "HEALTHCHECK")).returncode == 0) is healthy
    assert paths == ["/healthz"]


def test_the_health_check_fails_when_nothing_listens(image: Stage) -> None:
    image.env["ONEGATE_HEALTH_PORT"] = "9"
    assert image.run(command(image, "HEALTHCHECK")).returncode != 0


def test_a_missing_copy_fails_the_build(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("COPY gateway", "COPY pyproject"))]
    with pytest.raises(AssertionError, match="RUN"):
        Build(tmp_path).run("\n".join(line for line in lines if "runtime.txt" not in line))

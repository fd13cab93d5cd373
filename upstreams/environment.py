"""What a child process starts with: its environment and its program. Looks at the disk; starts nothing."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from upstreams.errors import ConnectionLost

WINDOWS = sys.platform == "win32"

# What programs need to run at all and that holds no secrets; everything else is named in the config.
POSIX_NAMES = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "TZ"})
WINDOWS_NAMES = frozenset(
    {
        "PATH",
        "APPDATA",
        "COMMONPROGRAMFILES",
        "COMMONPROGRAMFILES(X86)",
        "COMMONPROGRAMW6432",
        "COMSPEC",
        "HOMEDRIVE",
        "HOMEPATH",
        "LOCALAPPDATA",
        "NUMBER_OF_PROCESSORS",
        "OS",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
        "PROGRAMDATA",
        "PROGRAMFILES",
        "PROGRAMFILES(X86)",
        "PROGRAMW6432",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "TMP",
        "USERDOMAIN",
        "USERNAME",
        "USERPROFILE",
        "WINDIR",
    }
)
FIXED_NAMES = WINDOWS_NAMES if WINDOWS else POSIX_NAMES


def child_environment(
    entry_env: Mapping[str, str], env_pass: Sequence[str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of a child: a small fixed set and the ``env_pass`` names of ours, and ``entry_env`` over all."""
    wanted = FIXED_NAMES | {_name(name) for name in env_pass}
    ours = {
        name: value
        for name, value in environ.items()
        # An exported shell function is code that a shell child would run (CVE-2014-6271).
        if (_name(name) in wanted or name.startswith("LC_")) and not value.startswith("()")
    }
    return {**ours, **{_name(name): value for name, value in entry_env.items()}}


def find_program(command: str, env: Mapping[str, str], cwd: str | None) -> str:
    """The absolute path of ``command``, as the child's PATH and folder give it; raises ConnectionLost with the mend."""
    folder = os.path.abspath(cwd) if cwd is not None else os.getcwd()
    if not os.path.isdir(folder):
        raise ConnectionLost(f"working directory does not exist: {cwd}")
    path = os.pathsep.join(os.path.join(folder, entry) for entry in env.get("PATH", os.defpath).split(os.pathsep))
    wanted = os.path.join(folder, command) if os.path.dirname(command) else command
    if command and (found := shutil.which(wanted, path=path)):
        return found
    if command and (denied := shutil.which(wanted, mode=os.F_OK, path=path)):
        raise ConnectionLost(f"permission denied: {denied} is not executable")
    raise ConnectionLost(f"command not found: {command} (is it installed and on PATH?)")


def _name(name: str) -> str:
    return name.upper() if WINDOWS else name

"""Headers that narrow what a request sees."""

import time

import pytest

from gateway.errors import McpError
from gateway.narrowing import MAX_HEADERS, MAX_INNER, MAX_PARTS, narrowings

PREFIXES = {"github": "gh", "files": "files", "a b": "a_b"}


def lets(*headers: tuple[str, str]) -> tuple[list[str], list[str]]:
    """The tools and the servers (of prompts and resources) that all of the headers let through."""
    found = narrowings([(name.encode(), value.encode("latin-1")) for name, value in headers], PREFIXES)
    tools = [("github", "gh_read"), ("github", "gh_write"), ("files", "files_read"), ("a b", "a_b_read")]
    return (
        [name for server, name in tools if all(one.lets(server, name) for one in found)],
        [server for server in PREFIXES if all(one.lets_others(server) for one in found)],
    )


ALL = (["gh_read", "gh_write", "files_read", "a_b_read"], ["github", "files", "a b"])
CLIENTS, TOOLS = "x-mcp-include-clients", "x-mcp-include-tools"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], ALL),
        ([("x-other", "")], ALL),
        ([(CLIENTS, "*")], ALL),
        ([(TOOLS, "*")], ALL),
        ([(CLIENTS, "")], ([], [])),
        ([(TOOLS, "")], ([], [])),
        ([(TOOLS, " , ")], ([], [])),
        ([(CLIENTS, "github")], (["gh_read", "gh_write"], ["github"])),
        ([(CLIENTS, " github ,files")], (["gh_read", "gh_write", "files_read"], ["github", "files"])),
        ([(CLIENTS, "a b")], (["a_b_read"], ["a b"])),
        ([(CLIENTS, "GitHub")], ([], [])),
        ([(CLIENTS, "git*")], ([], [])),
        ([(CLIENTS, "nobody")], ([], [])),
        ([(TOOLS, "gh_*")], (["gh_read", "gh_write"], ["github"])),
        ([(TOOLS, "gh_read")], (["gh_read"], ["github"])),
        ([(TOOLS, "gh_read,files_*")], (["gh_read", "files_read"], ["github", "files"])),
        ([(TOOLS, "*_read")], (["gh_read", "files_read", "a_b_read"], [])),
        ([(TOOLS, "*_re*d,**_w*")], (["gh_read", "gh_write", "files_read", "a_b_read"], [])),
        ([(TOOLS, "gh_*ad*read")], ([], ["github"])),
        ([(TOOLS, "gh_r*read")], ([], ["github"])),
        ([(TOOLS, "gh_r?ad,gh_[r]ead")], ([], ["github"])),
        ([(CLIENTS, "github"), (TOOLS, "files_*")], ([], [])),
        ([(CLIENTS, "github"), (TOOLS, "gh_read,files_*")], (["gh_read"], ["github"])),
        ([(CLIENTS, "github"), ("x-bf-mcp-include-clients", "files")], ([], [])),
        ([(TOOLS, "gh_*"), ("x-bf-mcp-include-tools", "*_read")], (["gh_read"], [])),
        ([(TOOLS, "gh_read"), (TOOLS, "gh_write")], ([], ["github"])),
        ([("x-bf-mcp-include-tools", "files_read")], (["files_read"], ["files"])),
    ],
)
def test_headers_narrow_and_all_of_them_count(
    headers: list[tuple[str, str]], found: tuple[list[str], list[str]]
) -> None:
    assert lets(*headers) == found


def test_equal_wishes_are_equal_filters() -> None:
    one, other = (narrowings([(b"x-mcp-include-tools", text)], PREFIXES) for text in (b"gh_*,*", b" gh_* ,*,gh_*"))
    assert one == other
    assert hash(one) == hash(other)
    assert [filter.terms for filter in one] == [filter.terms for filter in other]


def test_the_terms_of_filters_are_in_one_order_and_tell_them_apart() -> None:
    servers = {f"s{number}": f"s{number}" for number in range(50)}
    backwards = dict(reversed(servers.items()))
    star, back = (narrowings([(b"x-mcp-include-clients", b"*")], order)[0].terms for order in (servers, backwards))
    assert star == back
    different = [(CLIENTS, ""), (CLIENTS, "github"), (TOOLS, ""), (TOOLS, "gh_*"), (TOOLS, "gh_read")]
    terms = [narrowings([(name.encode(), value.encode())], PREFIXES)[0].terms for name, value in different]
    assert all(one not in terms[:number] for number, one in enumerate(terms))


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ([",".join(f"t{number}" for number in range(MAX_PARTS + 1))], f"name over {MAX_PARTS}"),
        ([",".join(f"t{number}" for number in range(MAX_PARTS)), "one"], f"name over {MAX_PARTS}"),
        (["*"] * (MAX_HEADERS + 1), f"come over {MAX_HEADERS} times"),
        ([",".join(f"*{number}" for number in range(MAX_INNER + 1))], f"hold over {MAX_INNER} globs"),
        (["a*b", ",".join(f"*{number}" for number in range(MAX_INNER))], f"hold over {MAX_INNER} globs"),
    ],
)
def test_what_would_take_long_to_compare_is_refused(values: list[str], refusal: str) -> None:
    with pytest.raises(McpError, match=refusal) as refused:
        narrowings([(TOOLS.encode(), value.encode()) for value in values], PREFIXES)
    assert refused.value.status == 400


def test_the_longest_headers_that_are_taken_cost_little_at_a_door_with_thousands_of_tools() -> None:
    inner = [f"*{number}*e_{number}" for number in range(MAX_INNER)]
    others = [f"{number}*" for number in range(MAX_PARTS - MAX_INNER - 1)]
    found = narrowings([(TOOLS.encode(), ",".join([*inner, *others, "gh_*"]).encode())], PREFIXES)
    start = time.process_time()
    assert not any(one.lets("files", f"files_with_a_name_{number}x") for one in found for number in range(3_000))
    assert time.process_time() - start < 0.2  # an eighth of that where nothing else runs


@pytest.mark.parametrize("glob", ["a*" * 30_000, "[" * 60_000, "*" * 60_000, "gh_*" + "*a" * 20_000, "?" * 60_000])
def test_no_glob_costs_much(glob: str) -> None:
    start = time.process_time()
    found = narrowings([(b"x-mcp-include-tools", glob.encode())], PREFIXES)
    assert [one.lets("github", "gh_read") for one in found for _ in range(1_000)].count(True) in (0, 1_000)
    assert time.process_time() - start < 0.1

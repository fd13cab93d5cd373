"""The page as HTML: everything of the snapshot is in it, and whatever was said stays text."""

from html.parser import HTMLParser
from typing import Any

from gateway.status_page import MAX_DESCRIPTION, Sight, page, tool_shown

HOSTILE = """</title></pre><script>alert('1')</script><img src="x" onerror='y'>&lt;"""


def upstream(**keys: Any) -> dict[str, Any]:
    return {
        "name": "one", "state": "ready", "for_seconds": 61.0, "required": False, "transport": "stdio", "protocols": [],
        "tools": 3, "prompts": 1, "resources": 2, "restarts": 4, "last_error": None, "stderr": [], "in_flight": 0,
        "queued": 0, "calls": 9, "errors": 8, "p50_ms": None, "p99_ms": None, **keys,
    }  # fmt: skip


def document(*upstreams: dict[str, Any], **keys: Any) -> dict[str, Any]:
    gateway = {
        "name": "onegate", "version": "1", "uptime_seconds": 5.0, "ready": True, "not_ready_because": [],
        "in_flight": 0, "streams": 0, "sessions": 0, "config": "x.yaml", "reload": None, **keys.pop("gateway", {}),
    }  # fmt: skip
    rest = {"disabled": [], "doors": [], "calls_per_minute": [0] * 60, "failures": [], "denials": []}
    return {"gateway": gateway, "upstreams": list(upstreams), **rest, **keys}


def event(**keys: str) -> dict[str, str]:
    return {
        "time": "2027-01-15T07:58:30.000Z", "request_id": "r-1", "status": "denied", "method": "tools/call",
        "target": "one_x", "upstream": "one", "identity": "ann", "reason": "denied by rule", **keys,
    }  # fmt: skip


class Seen(HTMLParser):
    """The elements and the text of a page, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_text_from_elsewhere_stays_text() -> None:
    whole = document(
        upstream(name=HOSTILE, last_error=HOSTILE, stderr=[HOSTILE], protocols=[{"era": HOSTILE, "version": HOSTILE}]),
        gateway={"name": HOSTILE, "config": HOSTILE, "ready": False, "not_ready_because": [HOSTILE]},
        disabled=[{"name": HOSTILE, "reason": HOSTILE}],
        doors=[{"path": HOSTILE, "tools": 1}],
        failures=[event(**dict.fromkeys(("request_id", "target", "upstream", "identity", "reason"), HOSTILE))],
    )
    hostile = tool_shown(HOSTILE, {"name": HOSTILE, "description": f"{HOSTILE}\n{HOSTILE}"})
    for sight in (Sight(HOSTILE, [hostile], 1), Sight(HOSTILE, wrong=HOSTILE)):
        seen = Seen(page(whole, sight))
        assert seen.tags.count("script") == 1
        assert "img" not in seen.tags
        assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "style"]
        assert seen.text.count(HOSTILE) >= 12


def test_what_is_invisible_is_spelled_out() -> None:
    seen = Seen(page(document(upstream(last_error="a\u202eb\x00c\u200bd")), Sight()))
    assert r"a\u202eb\x00c\u200bd" in seen.text


def test_a_server_has_its_figures_its_error_and_what_it_said_last() -> None:
    spoken = [{"era": "modern", "version": "v"}]
    well = upstream(name="well", protocols=spoken, p50_ms=0.42, p99_ms=17.2, in_flight=5, queued=6, required=True)
    ill = upstream(name="ill", state="resting", last_error="exited with code 3", stderr=["line 1", "line 2"])
    seen = Seen(page(document(well, ill), Sight()))
    for said in ("well", "stdio, required", "1 min 1 s", "v (modern)", "0.42", "17", "6 wait", "resting"):
        assert said in seen.text
    assert "exited with code 3" in seen.text
    assert "line 1\nline 2" in seen.text
    assert seen.tags.count("details") == 1
    assert ("class", "pill bad") in seen.attributes


def test_a_server_that_the_config_has_wrong_is_named() -> None:
    seen = Seen(page(document(disabled=[{"name": "off", "reason": "K is not set"}]), Sight()))
    assert "off is disabled: K is not set" in seen.text


def test_it_says_why_the_gateway_is_not_ready_and_how_the_reload_went() -> None:
    reading = {"time": "2027-01-15T07:58:30.000Z", "taken": False, "said": "refused: policy: is gone"}
    seen = Seen(page(document(gateway={"ready": False, "not_ready_because": ["x"], "reload": reading}), Sight()))
    assert "not ready: x" in seen.text
    assert "refused: policy: is gone (07:58:30 UTC)" in seen.text


def test_failures_and_denials_have_time_request_identity_target_and_reason() -> None:
    seen = Seen(page(document(failures=[event(reason="timeout", request_id="r-0")], denials=[event()]), Sight()))
    for said in ("07:58:30 UTC", "r-0", "r-1", "tools/call one_x", "ann", "timeout", "denied by rule"):
        assert said in seen.text


def test_the_tools_say_whose_view_they_are() -> None:
    one = tool_shown("s", {"name": "s_x", "description": "  Does x.  "})
    assert "1 tools, all of them" in Seen(page(document(), Sight("", [one], 1))).text
    seen = Seen(page(document(), Sight("{}", [one], 900)))
    assert "900 tools, as {} sees them, the first 1 of 900 shown" in seen.text
    assert ("value", "{}") in seen.attributes


def test_claims_that_are_wrong_show_what_is_wrong_and_no_tools() -> None:
    seen = Seen(page(document(), Sight("{", wrong="no JSON")))
    assert "no JSON" in seen.text
    assert "0 tools" not in seen.text


def test_descriptions_are_cut_and_odd_ones_are_left_out() -> None:
    assert tool_shown("s", {"name": "x", "description": "d" * 10_000})[2] == "d" * MAX_DESCRIPTION + "…"
    assert tool_shown("s", {"name": "x", "description": 3}) == ("x", "s", "")


def test_it_loads_nothing_but_its_own_two_files() -> None:
    seen = Seen(page(document(upstream()), Sight()))
    loaded = {value for name, value in seen.attributes if name in ("src", "href", "action")}
    assert loaded == {"/status.css", "/status.js", "/status"}
    assert "style" not in seen.tags

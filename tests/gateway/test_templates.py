import sys

import pytest

from gateway.templates import MAX_TEMPLATE, MAX_URI, expands_to


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("x://plain", "x://plain"),
        ("x://{id}", "x://1"),
        ("x://{id}/y", "x://a%20b/y"),
        ("x://{a}/{b}", "x://1/2"),
        ("x://{a}-{b}", "x://1-2-3"),
        ("x://{a}{b}", "x://12"),
        ("file:///{+path}", "file:///a/b/c.txt"),
        ("{+any}", "y://whatever?x#y"),
        ("x://h{/segments*}", "x://h/a/b"),
        ("x://h{/segments*}", "x://h"),
        ("x://h{?q,n}", "x://h?q=1&n=2"),
        ("x://h{?q}", "x://h"),
        ("x://h?a=1{&b}", "x://h?a=1&b=2"),
        ("x://h{#part}", "x://h#top"),
        ("x://h/name{.ext}", "x://h/name.tar.gz"),
        ("x://h{;v}", "x://h;v=1"),
        ("{+a}x{b}", "1x2/3x4"),
        ("x://{+a}aa{b}", "x://1aaa"),
    ],
)
def test_an_expansion_is_recognised(template: str, uri: str) -> None:
    assert expands_to(template, uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("x://plain", "x://plain/"),
        ("x://plain", "x://plai"),
        ("x://{id}", "x://"),
        ("x://{id}", "x://1/2"),
        ("x://{id}", "x://1?q"),
        ("x://{id}", "X://1"),
        ("x://{id}/y", "x://1/z"),
        ("x://{a}{b}", "x://1"),
        ("x://h{?q}", "x://hq=1"),
        ("x://h{.ext}", "x://h"),
        ("x://.*", "x://abc"),
        ("", "x"),
    ],
)
def test_what_is_no_expansion_is_not(template: str, uri: str) -> None:
    assert not expands_to(template, uri)


def test_the_longest_ones_are_listed_only() -> None:
    assert not expands_to("x" * (MAX_TEMPLATE + 1), "x" * (MAX_TEMPLATE + 1))
    assert not expands_to("{+a}", "x" * (MAX_URI + 1))


@pytest.mark.parametrize("piece", ["{+a}", "{+a}a", "{/a}", "{a}a", "{?a}", "{a}{+b}aa"])
def test_a_hostile_template_costs_no_more_than_its_length_times_the_uris(piece: str) -> None:
    steps = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        steps += 1

    template, uri = "x:" + piece * (MAX_TEMPLATE // len(piece) - 2) + "!", "x:" + "/a" * 2000 + "?"
    sys.setprofile(count)
    try:
        assert not expands_to(template, uri)
    finally:
        sys.setprofile(None)
    assert steps < 50_000

import pytest

from gateway.uris import is_normal


@pytest.mark.parametrize(
    "uri",
    [
        "note:///1",
        "file:///data/a%20b.txt",
        "https://example.com/a/b?x=../y#..",
        "demo://resource/dynamic/text/1",
        "urn:isbn:0451450523",
        "file:///data/...",
        "server+file:///data",
        "db://host:5432/table/row.1",
        "file:///%C3%A9t%C3%A9?a=%26%5B",
    ],
)
def test_a_plain_uri_is_normal(uri: str) -> None:
    assert is_normal(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///data/../etc/passwd",
        "file:///data/./x",
        "file:///data/..",
        "file:///data/%2e%2e/etc",
        "file:///data/%2E./etc",
        "file:///data/a%2fb",
        "file:///data/a%5Cb",
        "file:///data\\..\\etc",
        "FILE:///data",
        "https://Example.com/",
        "https://example.com/%00",
        "file:///data/%37",
        "file:///%64ata/x",
        "file:///data?x=%7Ea",
        "file:///data%5f1",
        "file:///a b",
        "file:///a\nb",
        "no-scheme",
        "",
        "..",
    ],
)
def test_a_uri_that_hides_something_is_not_normal(uri: str) -> None:
    assert not is_normal(uri)

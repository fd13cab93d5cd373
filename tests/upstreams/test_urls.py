import pytest

from upstreams.config import check_url
from upstreams.urls import joined, parse_url, same_origin


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "target", "authority"),
    [
        ("http://h", "http", "h", 80, "/", "h"),
        ("https://h", "https", "h", 443, "/", "h"),
        ("HTTP://Host.Example/Path", "http", "host.example", 80, "/Path", "host.example"),
        ("http://h:8080/a/b?c=d&e", "http", "h", 8080, "/a/b?c=d&e", "h:8080"),
        ("https://h:443/a", "https", "h", 443, "/a", "h"),
        ("http://h:443/a", "http", "h", 443, "/a", "h:443"),
        ("http://h:/a", "http", "h", 80, "/a", "h"),
        ("http://h/a?b#fragment", "http", "h", 80, "/a?b", "h"),
        ("http://h?b=/c", "http", "h", 80, "/?b=/c", "h"),
        ("http://h/a;p=1//b?", "http", "h", 80, "/a;p=1//b", "h"),
        ("http://h/%2F%zz%C3%a9", "http", "h", 80, "/%2F%zz%C3%a9", "h"),
        ("http://h/é?ü=€", "http", "h", 80, "/%C3%A9?%C3%BC=%E2%82%AC", "h"),
        ("http://h/!$&'()*+,-.:=@[]^_`{|}~\"<>\\", "http", "h", 80, "/!$&'()*+,-.:=@[]^_`{|}~\"<>\\", "h"),
        ("http://[::1]/a", "http", "::1", 80, "/a", "[::1]"),
        ("http://[2001:DB8::1]:81/a", "http", "2001:db8::1", 81, "/a", "[2001:db8::1]:81"),
        ("http://bücher.example/", "http", "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example"),
        ("http://user:word@h:81/a", "http", "h", 81, "/a", "h:81"),
    ],
)
def test_a_url_comes_apart(text: str, scheme: str, host: str, port: int, target: str, authority: str) -> None:
    url = parse_url(text)
    assert (url.scheme, url.host, url.port, url.target, url.authority) == (scheme, host, port, target, authority)


@pytest.mark.parametrize(
    "text",
    [
        *("", "sesame", "/sesame", "ftp://sesame/", "http:///sesame", "http:sesame", "http://", "http://[sesame"),
        *("//sesame/", "http://sesame:99999/", "http://sesame:x/", "http://sesame:-1/", "http://sesame:0/"),
        *("http://sesame/a b", "http://sesame/\r\nX: y", "http://ses\tame/", " http://sesame/", "http://sesame/\x7f"),
        *("http://é..sesame/", "http://" + "é" * 100 + ".sesame/", "http://sesame/\ud800", "http://sesame/\0"),
    ],
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_url(text)
    with pytest.raises(ValueError, match=r"^must be an http:// or https:// URL with a host, without spaces$"):
        check_url(text)


@pytest.mark.parametrize(
    ("text", "basic"),
    [
        ("http://h/", None),
        ("http://user:word@h/", "Basic dXNlcjp3b3Jk"),
        ("http://user@h/", "Basic dXNlcjo="),
        ("http://:word@h/", "Basic OndvcmQ="),
        ("http://us%40er:p%3Ass@h/", "Basic dXNAZXI6cDpzcw=="),
        ("http://ü:ö@h/", "Basic w7w6w7Y="),
    ],
)
def test_user_and_password_become_basic_credentials(text: str, basic: str | None) -> None:
    assert parse_url(text).basic == basic


def test_a_url_shows_no_secrets() -> None:
    shown = repr(parse_url("https://user:sesame@h/a"))
    assert "sesame" not in shown
    assert "Basic" not in shown


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b?c", True),
        ("https://h/", "https://h:443/", True),
        ("http://H/", "http://h/", True),
        ("http://user@h/", "http://h/", True),
        ("http://bücher.example/", "http://xn--bcher-kva.example/", True),
        ("http://h/", "https://h/", False),
        ("http://h:443/", "https://h:443/", False),
        ("http://h/", "http://h:8080/", False),
        ("http://h/", "http://h.example/", False),
        ("http://h/", "http://h./", False),
        ("http://h/", "http://h@evil/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(parse_url(one), parse_url(other)) is same


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("/b", "/b"),
        ("b?c=d", "/mcp/b?c=d"),
        ("?c", "/mcp/a?c"),
        ("../x", "/x"),
        ("../../../x", "/x"),
        ("", "/mcp/a?key=1"),
        ("//h:81/b", "/b"),
        ("http://h:81/b", "/b"),
        ("http://other:secret@h:81/b", "/b"),
        ("http:///b", "/b"),
        ("//h/b", None),
        ("//evil:81/b", None),
        ("//h:81@evil/b", None),
        ("https://h:81/b", None),
        ("javascript:alert(1)", None),
        ("http://[", None),
        ("http://h:99999/", None),
        ("/b\r\nX: y", None),
        ("/b c", None),
        ("/\\evil/b", "/\\evil/b"),
    ],
)
def test_a_reference_leads_on_only_within_the_origin(reference: str, target: str | None) -> None:
    onward = joined(parse_url("http://user:word@h:81/mcp/a?key=1"), reference)
    assert (onward and onward.target) == target

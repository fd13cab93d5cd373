import pytest

from gateway.uris import _PLAIN, is_normal, normal_form, spellings


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
        "https://b%C3%BCcher.example/[1]?q='a'&b=(c)#!$*+,;=@",
        "file:///100%25%7Cx%22",
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
        "file:///data?x=%2E%2e",
        "file:///%c3%a9",
        "file:///%C3%a9",
        "https://b%c3%bccher.example/",
        "https://B%C3%BCcher.example/",
        "file:///\u00e9t\u00e9",
        "file:///\u202ex",
        "file:///100%",
        "file:///%zz",
        "file:///%4",
        "file:///a|b",
        'file:///a"b',
        "file:///{id}",
        "file:///a b",
        "file:///a\nb",
        "no-scheme",
        "",
        "..",
    ],
)
def test_a_uri_that_hides_something_is_not_normal(uri: str) -> None:
    assert not is_normal(uri)


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("file:///\u00e9", "file:///%C3%A9"),
        ("file:///%c3%a9", "file:///%C3%A9"),
        ("FILE://Host/Path?Q#F", "file://host/Path?Q#F"),
        ("URN:ISBN:1", "urn:ISBN:1"),
        ("https://B\u00dccher/%7ea%2eb", "https://b%C3%BCcher/~a.b"),
        ("x://a b|%2f", "x://a%20b%7C%2F"),
        ("no scheme", "no%20scheme"),
        ("x:\ud800", "x:%3F"),
        ("x:%", "x:%"),
    ],
)
def test_every_spelling_has_one_normal_form(uri: str, normal: str) -> None:
    assert normal_form(uri) == normal_form(normal) == normal


@pytest.mark.parametrize("uri", ["file:///a", "x://h/a?b=c#d", "file:///%26%2C", "urn:isbn:0451450523"])
def test_most_uris_have_one_spelling(uri: str) -> None:
    assert spellings(uri) == ()


@pytest.mark.parametrize(
    ("uri", "others"),
    [
        ("x://\u00e9", ("x://%C3%A9",)),
        ("x://%C3%A9", ("x://\u00e9",)),
        ("x://%c3%a9", ("x://%C3%A9", "x://\u00e9")),
        ("X://h/%7e", ("x://h/~",)),
        ("x://a%20b%7C", ("x://a b|",)),
        ("x://%FF%C3%A9", ()),
        ("x:///%25C3%25A9", ()),
    ],
)
def test_rules_may_write_a_uri_in_normal_form_or_as_people_read_it(uri: str, others: tuple[str, ...]) -> None:
    assert spellings(uri) == others


@pytest.mark.parametrize(
    "uri", ["x:/..", "x://h/..", "x://h/./a", "x://h/a/../b", "X://h", "x://H/a", "x://h/a\n", "x://hH"]
)
def test_what_seems_plain_but_is_not_normal_is_looked_at(uri: str) -> None:
    assert not is_normal(uri)
    assert _PLAIN.fullmatch(uri) is None


@pytest.mark.parametrize("uri", ["x://h/a", "x://h/...", "x://h/.a/a..", "x:/a//b", "x://h:1", "x:", "file:///a~b@c:d"])
def test_what_is_plain_is_normal(uri: str) -> None:
    assert is_normal(uri)
    assert _PLAIN.fullmatch(uri) is not None

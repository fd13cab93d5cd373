"""RFC 9728: where a door's metadata is, and what it says."""

from typing import Any

import pytest

from gateway.auth_config import AuthConfig
from gateway.protected_resource import base_url, metadata, metadata_path, metadata_url

SECRET = "s" * 32


def config(*issuers: str, **more: Any) -> AuthConfig:
    jwt = [{"issuer": issuer, "audiences": ["onegate"], "secret": SECRET} for issuer in issuers]
    return AuthConfig(jwt=jwt, **more)


def test_the_document_of_a_door_says_what_it_is_and_who_gives_tokens_for_it() -> None:
    auth = config("https://idp.example.com", "https://two.example.com/tenant", scopes=["mcp"])
    assert metadata(auth, "https://gw.example.com", "/mcp/k8s", ["tools.read", "mcp"]) == {
        "resource": "https://gw.example.com/mcp/k8s",
        "authorization_servers": ["https://idp.example.com", "https://two.example.com/tenant"],
        "scopes_supported": ["mcp", "tools.read"],
        "bearer_methods_supported": ["header"],
    }


def test_lists_without_members_are_left_out() -> None:
    assert metadata(config("just a name"), "http://gw", "/mcp") == {
        "resource": "http://gw/mcp",
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    ("issuer", "is_server"),
    [
        ("https://idp", True),
        ("http://127.0.0.1:9/idp", True),
        ("http://idp", False),
        ("idp", False),
        ("urn:idp", False),
        ("https://[bad", False),
        ("https://", False),
    ],
)
def test_only_an_issuer_with_an_address_is_named_as_a_server(issuer: str, is_server: bool) -> None:
    assert ("authorization_servers" in metadata(config(issuer), "http://gw", "/mcp")) == is_server


@pytest.mark.parametrize(
    ("base", "door", "url"),
    [
        ("https://gw", "/mcp", "https://gw/.well-known/oauth-protected-resource/mcp"),
        ("https://gw:8443", "/mcp/a%2Fb", "https://gw:8443/.well-known/oauth-protected-resource/mcp/a%2Fb"),
        ("https://gw/tools", "/mcp", "https://gw/.well-known/oauth-protected-resource/tools/mcp"),
        ("https://gw", "/", "https://gw/.well-known/oauth-protected-resource"),
    ],
)
def test_the_well_known_part_comes_between_the_host_and_the_path(base: str, door: str, url: str) -> None:
    assert metadata_url(base, door) == url


def test_the_path_of_the_metadata_is_that_of_its_url() -> None:
    assert metadata_url("http://gw", "/mcp") == "http://gw" + metadata_path("/mcp")


@pytest.mark.parametrize(
    ("public_url", "host", "base"),
    [
        ("https://gw.example.com/", "evil", "https://gw.example.com"),
        ("https://gw.example.com", None, "https://gw.example.com"),
        (None, "gw.example.com:8443", "http://gw.example.com:8443"),
        (None, "[::1]:8080", "http://[::1]:8080"),
        (None, None, None),
        (None, "", None),
        (None, "a b", None),
        (None, 'a"', None),
        (None, "user@host", None),
        (None, "host/path", None),
        (None, "host:99999999", None),
        (None, "host\n", None),
    ],
)
def test_the_config_says_where_the_gateway_is_or_else_the_host_header(
    public_url: str | None, host: str | None, base: str | None
) -> None:
    assert base_url(public_url, host) == base

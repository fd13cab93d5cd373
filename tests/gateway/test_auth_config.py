"""The `auth:` section: what it takes, and what it refuses before anything starts."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.auth_config import AuthConfig
from gateway.config_problems import explain

SECRET = "s" * 32
JWT = {"issuer": "https://idp", "audiences": ["onegate"], "secret": SECRET}
URL = {"issuer": "https://idp", "audiences": ["onegate"], "jwks_url": "https://idp/jwks", "algorithms": ["RS256"]}
KEY = {"name": "ci", "sha256": "a" * 64}


def said(section: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        AuthConfig.model_validate(section)
    found = explain(caught.value, AuthConfig, {}, frozenset(AuthConfig.model_fields))
    return [f"{'.'.join(map(str, key))}: {text}" for key, text in found]


def without(entry: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {**{name: value for name, value in entry.items() if name not in names}, **more}


def test_the_section_of_the_contract_is_taken() -> None:
    found = AuthConfig.model_validate(
        {
            "mode": "strict",
            "scopes": ["mcp"],
            "jwt": [
                {
                    "issuer": "https://idp.example.com",
                    "audiences": ["onegate"],
                    "jwks_url": "https://idp.example.com/jwks.json",
                    "algorithms": ["RS256", "ES256"],
                    "leeway": "5s",
                }
            ],
            "api_keys": [
                {"name": "ci", "sha256": "A" * 64, "claims": {"role": "developer"}, "tools": {"include": ["gh_*"]}}
            ],
            "stdio": {"claims": {"sub": "local", "role": "admin"}},
        }
    )
    assert (found.jwt[0].key_source, found.jwt[0].leeway) == ("jwks_url", 5.0)
    assert found.jwt[0].effective_algorithms == {"RS256", "ES256"}
    assert (found.api_keys[0].sha256, found.api_keys[0].tools.include) == ("a" * 64, ["gh_*"])


def test_what_is_left_out_is_strict_without_leeway_and_hs256_for_a_secret() -> None:
    found = AuthConfig.model_validate({"jwt": [JWT]})
    assert (found.mode, found.scopes, found.api_keys, found.stdio) == ("strict", [], [], None)
    assert (found.jwt[0].leeway, found.jwt[0].effective_algorithms) == (0.0, {"HS256"})


@pytest.mark.parametrize("mode", ["strict", "optional"])
def test_a_section_that_lets_nobody_in_is_a_mistake(mode: str) -> None:
    assert said({"mode": mode}) == [": nobody could get in; add jwt or api_keys, or say mode: none"]
    assert AuthConfig(mode="none").jwt == []
    assert AuthConfig(stdio={}).mode == "strict"


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"mod": "strict"}, "mod: unknown key; did you mean mode?"),
        ({"jwt": [{**JWT, "audience": "x"}]}, "jwt.0.audience: unknown key; did you mean audiences?"),
        ({"jwt": [{**JWT, "verify": False}]}, "jwt.0.verify: unknown key"),
        ({"api_keys": [{**KEY, "key": "og_x"}]}, "api_keys.0.key: unknown key"),
        ({"api_keys": [{**KEY, "tools": {"includes": []}}]}, "api_keys.0.tools.includes: unknown key; did you mean in"),
        ({"stdio": {"claim": {}}}, "stdio.claim: unknown key; did you mean claims?"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(section: dict[str, Any], text: str) -> None:
    assert any(line.startswith(text) for line in said(section))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (without(JWT, "issuer"), "issuer: is missing"),
        (without(JWT, "audiences"), "audiences: is missing"),
        ({**JWT, "audiences": []}, "audiences: must not be empty"),
        ({**JWT, "audiences": [""]}, "audiences.0: must not be empty"),
        ({**JWT, "audiences": "onegate"}, "audiences: must be a list"),
        ({**JWT, "issuer": ""}, "issuer: must not be empty"),
        (without(JWT, "secret"), "needs exactly one of jwks_url, jwks_file, public_key_file, secret; it has none"),
        ({**URL, "jwks_file": "k"}, "needs exactly one of jwks_url, jwks_file, public_key_file, secret; it has jwks_u"),
        ({**URL, "secret": SECRET}, "it has jwks_url and secret"),
        (without(URL, "algorithms"), "needs algorithms, such as [RS256, ES256]"),
        ({**URL, "algorithms": ["none"]}, "algorithms.0: must be "),
        ({**URL, "algorithms": ["rs256"]}, "algorithms.0: must be "),
        ({**URL, "algorithms": ["HS256"]}, "HS256 goes with secret, not with jwks_url"),
        ({**URL, "algorithms": ["RS256", "HS512"]}, "HS512 goes with secret, not with jwks_url"),
        ({**JWT, "algorithms": ["RS256"]}, "RS256 goes with a public key, not with secret"),
        ({**JWT, "secret": "s" * 31}, "secret: must have at least 32 bytes"),
        ({**JWT, "secret": ""}, "secret: must have at least 32 bytes"),
        ({**JWT, "secret": f"-----BEGIN PUBLIC KEY-----{SECRET}"}, "secret: is a key of another kind"),
        ({**JWT, "leeway": "31s"}, "leeway: "),
        ({**JWT, "leeway": 5}, "leeway: has no unit"),
        ({**JWT, "leeway": "-1s"}, "leeway: is not a duration"),
        ({**URL, "jwks_url": "http://idp/jwks"}, "jwks_url: must be https"),
        ({**URL, "jwks_url": "http://localhost.evil/jwks"}, "jwks_url: must be https"),
        ({**URL, "jwks_url": "file:///etc/passwd"}, "jwks_url: must be an http:// or https:// URL"),
        ({**URL, "jwks_url": "https://user:pw@idp/jwks"}, "jwks_url: must hold no user"),
        ({**URL, "jwks_url": "https://idp/jwks#x"}, "jwks_url: must hold no user"),
    ],
)
def test_an_issuer_that_cannot_be_trusted_as_it_is_written_is_refused(entry: dict[str, Any], text: str) -> None:
    lines = said({"jwt": [entry]})
    assert any(text in line for line in lines), lines
    assert all(line.startswith("jwt.0") for line in lines)
    assert "user:pw" not in " ".join(lines)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/k", "http://localhost/k", "http://[::1]:80/k", "https://idp/k?a=b"]
)
def test_keys_may_come_over_https_or_from_this_machine(url: str) -> None:
    assert AuthConfig(jwt=[{**URL, "jwks_url": url}]).jwt[0].jwks_url == url


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (without(KEY, "name"), "api_keys.0.name: is missing"),
        (without(KEY, "sha256"), "api_keys.0.sha256: is missing"),
        ({**KEY, "name": "a\nb"}, "api_keys.0.name: must not hold control characters"),
        ({**KEY, "sha256": "og_" + "A" * 43}, "api_keys.0.sha256: must be the 64 hex digits"),
        ({**KEY, "sha256": "a" * 63}, "api_keys.0.sha256: must be the 64 hex digits"),
        ({**KEY, "claims": {"sub": ""}}, "api_keys.0.claims: sub must be text"),
        ({**KEY, "claims": {"sub": 7}}, "api_keys.0.claims: sub must be text"),
    ],
)
def test_an_api_key_that_could_not_work_is_refused(entry: dict[str, Any], text: str) -> None:
    assert any(line.startswith(text) for line in said({"api_keys": [entry]}))


def test_two_entries_for_one_issuer_name_or_hash_are_refused() -> None:
    assert "two entries have the same issuer" in said({"jwt": [JWT, URL]})[0]
    assert "two entries have the same name" in said({"api_keys": [KEY, {**KEY, "sha256": "b" * 64}]})[0]
    assert "two entries have the same sha256" in said({"api_keys": [KEY, {**KEY, "name": "b"}]})[0]


@pytest.mark.parametrize("scope", ["", "a b", 'a"', "a\\b", "a\nb", "ä"])
def test_a_scope_is_one_word_that_a_header_can_hold(scope: str) -> None:
    assert "scopes.0: must be one scope" in said({"scopes": [scope], "jwt": [JWT]})[0]


def test_no_secret_shows_in_a_repr_or_in_an_error() -> None:
    secret = "very secret words that nobody may see"
    found = AuthConfig(jwt=[{**JWT, "secret": secret}], api_keys=[KEY])
    assert secret not in repr(found)
    assert KEY["sha256"] not in repr(found)
    with pytest.raises(ValidationError) as caught:
        AuthConfig(jwt=[{**JWT, "secret": secret, "audiences": []}])
    assert secret not in str(caught.value)

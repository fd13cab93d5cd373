from upstreams.subscriptions import Subscriptions


def test_only_the_first_to_ask_and_the_last_to_leave_matter_to_the_server() -> None:
    subscriptions, a, b = Subscriptions(), list[str]().append, list[str]().append
    assert subscriptions.add("x://1", a)
    assert not subscriptions.add("x://1", b)
    assert not subscriptions.remove("x://1", a)
    assert subscriptions.remove("x://1", b)
    assert subscriptions.uris == []


def test_one_listener_may_ask_twice_and_then_leaves_twice() -> None:
    subscriptions, heard = Subscriptions(), list[str]()
    listener = heard.append
    subscriptions.add("x://1", listener)
    assert not subscriptions.add("x://1", listener)
    assert not subscriptions.remove("x://1", listener)
    subscriptions.updated("x://1")
    assert heard == ["x://1"]
    assert subscriptions.remove("x://1", listener)


def test_leaving_without_having_asked_changes_nothing() -> None:
    subscriptions, stranger = Subscriptions(), list[str]().append
    subscriptions.add("x://1", print)
    assert not subscriptions.remove("x://1", stranger)
    assert not subscriptions.remove("x://2", print)
    assert subscriptions.uris == ["x://1"]


def test_an_update_reaches_those_who_asked_for_it_or_for_what_it_lies_under() -> None:
    subscriptions = Subscriptions()
    heard: dict[str, list[str]] = {uri: [] for uri in ("x://a", "x://a/b", "x://a/", "x://ab", "y://a")}
    for uri, into in heard.items():
        subscriptions.add(uri, into.append)
    subscriptions.updated("x://a/b")
    assert {uri for uri, got in heard.items() if got} == {"x://a", "x://a/b", "x://a/"}
    assert heard["x://a"] == ["x://a/b"]


def test_a_listener_may_leave_while_it_is_told() -> None:
    subscriptions, heard = Subscriptions(), list[str]()

    def once(uri: str) -> None:
        heard.append(uri)
        subscriptions.remove("x://1", once)

    subscriptions.add("x://1", once)
    subscriptions.add("x://1", heard.append)
    subscriptions.updated("x://1")
    subscriptions.updated("x://1")
    assert heard == ["x://1"] * 3

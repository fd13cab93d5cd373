"""Memory is bounded and forgets the caller not seen for longest."""

from policies.memory import Memory


def test_the_oldest_caller_is_forgotten_first() -> None:
    memory: Memory[str] = Memory(max_callers=2)
    for name in ("a", "b"):
        memory.keep(memory.of(name), "tool", name)
    memory.of("a")
    memory.of("c")
    assert memory.of("a").entries == {"tool": "a"}
    assert memory.of("b").entries == {}


def test_the_entries_of_all_callers_together_are_bounded() -> None:
    memory: Memory[int] = Memory(max_entries=100)
    for caller in range(50):
        for target in range(30):
            memory.keep(memory.of(caller), target, target)
            assert len(memory) <= 100
    assert memory.of(49).entries == {target: target for target in range(30)}


def test_one_caller_with_targets_without_end_is_bounded() -> None:
    memory: Memory[int] = Memory(max_entries=100)
    for target in range(1000):
        memory.keep(memory.of("a"), target, target)
    assert len(memory) <= 100
    assert memory.of("a").entries[999] == 999

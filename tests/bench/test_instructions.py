"""The calls whose instructions are counted are answered right; how many these are is not looked at."""

import instructions
import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]


@pytest.mark.parametrize("connections", [1, 4])
async def test_every_call_is_answered_right_and_only_those_that_count_are_counted(connections: int) -> None:
    told = []
    right = await instructions.play(20, connections, lambda: told.append("begin"), lambda: told.append("end"))
    assert (right, told) == (20, ["begin", "end"])

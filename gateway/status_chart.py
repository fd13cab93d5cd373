"""Pure: calls per minute as a small SVG bar chart, with its figures in words for those who do not see it."""

from collections.abc import Sequence
from typing import Final

STEP: Final = 10
BAR: Final = 8
HEIGHT: Final = 80
LEAST: Final = 2  # the height of a bar that stands for anything at all


def chart(counts: Sequence[int]) -> str:
    """One bar for each minute, the present one last."""
    most, width = max(counts, default=0), STEP * len(counts)
    bars = "".join(_bar(index, count, most, len(counts)) for index, count in enumerate(counts) if count)
    words = f"{sum(counts)} calls in the last {len(counts)} minutes, {most} in the busiest"
    return (
        f'<figure><svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{words}">'
        f'<line x1="0" y1="{HEIGHT}" x2="{width}" y2="{HEIGHT}"/>{bars}</svg>'
        f"<figcaption><span>{len(counts)} min ago</span><span>{words}</span><span>now</span></figcaption></figure>"
    )


def _bar(index: int, count: int, most: int, bars: int) -> str:
    height = max(LEAST, round(HEIGHT * count / most))
    ago = bars - 1 - index
    when = f"{ago} min ago" if ago else "this minute"
    return (
        f'<rect x="{STEP * index + (STEP - BAR) // 2}" y="{HEIGHT - height}" width="{BAR}" height="{height}">'
        f"<title>{when}: {count}</title></rect>"
    )

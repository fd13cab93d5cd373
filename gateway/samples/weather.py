"""Invented weather, as an MCP server over stdio: ``python -m gateway.samples.weather``.

Shows read-only tools with output schemas, an enumerated argument and image content. The forecast is computed from the
city's name, so every run and every machine gives the same answer; nothing touches the disk or the network.
"""

import struct
import zlib
from typing import Annotated, Literal

from mcp.server.mcpserver import Image
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from gateway.samples.server import SampleServer, main

Condition = Literal["sunny", "cloudy", "rainy", "snowy"]
City = Annotated[str, Field(min_length=1, max_length=80, description="Any name, such as Bern.")]

RGB = tuple[int, int, int]
COLOURS: dict[Condition, RGB] = {
    "sunny": (250, 190, 40),
    "cloudy": (150, 160, 170),
    "rainy": (60, 110, 200),
    "snowy": (215, 235, 250),
}
ICON_SIZE = 32  # pixels each way: visible in a chat, and still under 200 bytes
RAINY_FROM = 70  # per cent
CLOUDY_FROM = 40
SNOW_BELOW_C = 1

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class Day(BaseModel):
    """The weather of one day; 0 is today."""

    day: int
    condition: Condition
    high_c: int
    low_c: int
    rain_percent: int


class Forecast(BaseModel):
    """The coming days in one city."""

    city: str
    days: list[Day]


class Comparison(BaseModel):
    """Today's weather in several cities, and which stands out; the city named first wins a tie."""

    cities: list[Forecast]
    warmest: str
    driest: str


server = SampleServer(
    "weather",
    title="Weather",
    instructions="Invented forecasts for any city; the same city always gets the same weather. Not for planning trips.",
)


@server.tool(title="Forecast", annotations=READS)
async def forecast(city: City, days: Annotated[int, Field(ge=1, le=7)] = 3) -> Forecast:
    """The forecast for one city, from today on."""
    return Forecast(city=city, days=[weather(city, day) for day in range(days)])


@server.tool(title="Compare cities", annotations=READS)
async def compare(cities: Annotated[list[City], Field(min_length=2, max_length=10)]) -> Comparison:
    """Today's weather in two to ten cities, side by side."""
    today = {city: weather(city, 0) for city in cities}
    return Comparison(
        cities=[Forecast(city=city, days=[day]) for city, day in today.items()],
        warmest=max(today, key=lambda city: today[city].high_c),
        driest=min(today, key=lambda city: today[city].rain_percent),
    )


@server.tool(title="Weather icon", annotations=READS, structured_output=False)
async def icon(condition: Condition) -> Image:
    """A small picture of a condition, as PNG image content."""
    return Image(data=disc(COLOURS[condition]), format="png")


def weather(city: str, day: int) -> Day:
    """Weather out of checksums: looks random, is the same everywhere; case and outer white space do not matter."""
    name = city.strip().casefold()
    climate, seed = zlib.crc32(name.encode()), zlib.crc32(f"{name}/{day}".encode())
    high, rain = climate % 32 + seed % 9 - 4, (seed >> 8) % 101
    low = high - 3 - (seed >> 16) % 8
    return Day(day=day, condition=condition_of(high, rain), high_c=high, low_c=low, rain_percent=rain)


def condition_of(high_c: int, rain_percent: int) -> Condition:
    """The word for a day."""
    if rain_percent >= RAINY_FROM:
        return "snowy" if high_c < SNOW_BELOW_C else "rainy"
    return "cloudy" if rain_percent >= CLOUDY_FROM else "sunny"


def disc(colour: RGB) -> bytes:
    """A disc of one colour on a transparent square, as a PNG file (palette-free RGBA, 8 bits a channel)."""
    centre = (ICON_SIZE - 1) / 2
    rows = bytearray()
    for y in range(ICON_SIZE):
        rows.append(0)  # filter type of the row: none
        for x in range(ICON_SIZE):
            inside = (x - centre) ** 2 + (y - centre) ** 2 <= centre**2
            rows += bytes((*colour, 255 if inside else 0))
    header = struct.pack(">IIBBBBB", ICON_SIZE, ICON_SIZE, 8, 6, 0, 0, 0)  # colour type 6: RGBA
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk: length, kind, data, checksum (PNG specification §5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main(server)

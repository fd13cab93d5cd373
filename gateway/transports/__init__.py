"""Bytes in, one JSON object out, and back: Streamable HTTP and stdio."""

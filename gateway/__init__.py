"""The MCP server side of the gateway, and its process."""

__version__ = "0.1.0"

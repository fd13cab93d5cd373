"""Sample MCP servers behind ``onegate demo``; they run as programs of their own and know nothing of the gateway."""

"""One module for each way of speaking MCP to a client: modern, legacy with sessions, sessionless."""

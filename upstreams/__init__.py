"""The MCP client side: connections to the servers behind the gateway, supervised."""

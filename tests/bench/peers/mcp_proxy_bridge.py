"""mcp-proxy as a peer of the benchmark: from HTTP to a stdio command; runs in mcp-proxy's environment.

mcp-proxy bridges, so between an HTTP client and an HTTP upstream it stands twice: this process serves HTTP, and starts
a second mcp-proxy that speaks stdio to it and HTTP to the upstream. Prints its URL when it listens.
"""

import argparse
import sys
from pathlib import Path

import uvloop
from listening import announce, free_port
from mcp_proxy.__main__ import main

QUIET = ("--log-level", "WARNING")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", nargs="+", help="the upstream's URL, or the command of one that speaks stdio")
    options = parser.parse_args()
    if options.upstream[0].startswith("http"):
        second = str(Path(sys.executable).with_name("mcp-proxy"))
        command = [second, *QUIET, "--transport", "streamablehttp", *options.upstream]
    else:
        command = options.upstream
    port = free_port()
    uvloop.install()
    announce(port)
    sys.argv = ["mcp-proxy", "--port", str(port), "--stateless", *QUIET, "--", *command]
    main()

"""For peers that choose no port of their own and do not say when they listen; knows no peer."""

import socket
import threading
import time

PAUSE_SECONDS = 0.05
GIVE_UP_SECONDS = 60.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port


def wait_until_listening(port: int) -> None:
    """Returns when somebody accepts connections there; raises TimeoutError when nobody does."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens on port {port}") from None
            time.sleep(PAUSE_SECONDS)


def announce(port: int) -> None:
    """Prints the URL as soon as somebody listens, from a thread: the caller is about to become the server."""

    def wait_and_print() -> None:
        wait_until_listening(port)
        print(f"http://127.0.0.1:{port}/mcp", flush=True)

    threading.Thread(target=wait_and_print, daemon=True).start()

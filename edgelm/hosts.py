"""The names that a server for this machine alone goes by.

A page that a browser shows could give its own name this machine's address, and the browser would then let it
read what a server here answers; but it says in each request which name it asks for.
"""

import ipaddress

LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


def named(header: str) -> str:
    """The name in a Host header, without the port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens at `host`."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed(host: str) -> frozenset[str]:
    """Names that a server listening at `host` may be asked for by; empty where any will do."""
    return LOCAL | {host.lower()} if is_local(host) else frozenset()


def may_ask(header: str, names: frozenset[str]) -> bool:
    """Whether a request with this Host header may be answered by a server of these names."""
    return not names or named(header) in names

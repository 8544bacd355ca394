"""What a client is told that asked for something it does not get, in OpenAI's shape."""

from typing import Any


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: what was wrong and what to do.
        param: the field of the request that is at fault.
        retry: seconds after which another try makes sense.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry: int = 0
    ):
        super().__init__(message)
        self.status, self.retry = status, retry
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": _kind(status), "param": param, "code": code}
        }
        self.headers = {"Retry-After": str(retry)} if retry else {}


def _kind(status: int) -> str:
    if status == 401:
        return "authentication_error"
    return "server_error" if status >= 500 else "invalid_request_error"

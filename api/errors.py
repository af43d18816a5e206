"""The error tree. The outcome lives in the class, the words say what the user can do.

TuneryError
├── BadRequest          400  what was sent cannot be done as it stands
├── Unauthenticated     401  no key or session, or one that no longer counts
├── Forbidden           403  known, and not allowed
├── NotFound            404  not there, or another tenant's (the same answer)
├── Conflict            409  it changed meanwhile; a retry may succeed
├── TooLarge            413  over a named limit
├── InsufficientCredit  429  no credit, or a spend limit; a retry alone never helps
├── RateLimited         429  a retry later helps
└── Unavailable         503  a part is down; a retry later helps
"""

from collections.abc import Mapping


class TuneryError(Exception):
    """What went wrong, in the words and the wire shape a caller sees.

    `code` is stable and machine-readable, `param` names the offending field, `headers` travel on
    the HTTP answer.
    """

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        """The OpenAI error body."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class BadRequest(TuneryError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class Unauthenticated(TuneryError):
    status, type, code = 401, "authentication_error", "invalid_api_key"


class Forbidden(TuneryError):
    status, type, code = 403, "permission_error", "forbidden"


class NotFound(TuneryError):
    status, type, code = 404, "invalid_request_error", "not_found"


class Conflict(TuneryError):
    status, type, code = 409, "conflict_error", "conflict"


class TooLarge(TuneryError):
    status, type, code = 413, "invalid_request_error", "too_large"


class InsufficientCredit(TuneryError):
    """The `openai` client retries every 429 unless told not to; waiting does not bring credit."""

    status, type, code = 429, "insufficient_quota", "insufficient_quota"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"x-should-retry": "false"})


class RateLimited(TuneryError):
    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class Unavailable(TuneryError):
    status, type, code = 503, "server_error", "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 2) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})

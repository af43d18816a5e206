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
from typing import Literal

from typing_extensions import TypeAliasType, TypedDict

ErrorCode = TypeAliasType(
    "ErrorCode",
    Literal[
        # Of a class of errors, where nothing says more.
        "internal_error",
        "invalid_request",
        "invalid_api_key",
        "forbidden",
        "not_found",
        "conflict",
        "too_large",
        "insufficient_quota",
        "rate_limit_exceeded",
        "unavailable",
        # Who is asking.
        "email_taken",
        "invalid_sign_in",
        "session_ended",
        "session_needed",
        "invalid_password",
        "no_tenant",
        "invalid_invitation",
        "invitations_max",
        "already_member",
        "last_owner",
        "session_needed",
        "invalid_password",
        "no_tenant",
        "foreign_origin",
        "owners_only",
        "operators_only",
        "api_keys_max",
        "key_has_budget",
        "already_member",
        "last_owner",
        "invitations_max",
        "invalid_invitation",
        # Files.
        "not_multipart",
        "bad_multipart",
        "upload_cut_off",
        "upload_not_pending",
        "upload_completing",
        "upload_size_mismatch",
        "uploads_max",
        "unknown_parts",
        "checksum_mismatch",
        "uploads_max",
        "upload_not_pending",
        "upload_completing",
        "upload_size_mismatch",
        "unknown_parts",
        "checksum_mismatch",
        "empty_file",
        "storage_bytes_max",
        "file_in_use",
        "invalid_mapping",
        "preparing",
        # Jobs and models.
        "model_not_found",
        "base_model_unusable",
        "invalid_file_purpose",
        "invalid_training_file",
        "unsupported_method",
        "unsupported_integration",
        "quote_mismatch",
        "quote_expired",
        "idempotency_key_reuse",
        "queued_jobs_max",
        "job_not_paused",
        "job_has_ended",
        "job_not_priced",
        "context_length_exceeded",
        # Why a job failed, beside the ones above.
        "attempt_failed",
        "worker_lost",
        "non_finite",
        "invalid_target_modules",
        "run_refused",
        # Credits.
        "requests_per_minute_max",
        "credits_per_day_max",
        "credits_per_month_max",
        "key_budget_credits",
        "key_month_budget_credits",
        "statement_rows_max",
        "mistyped_voucher",
        "invalid_voucher",
        "refund_exceeds_charge",
        "correction_exceeds_grant",
    ],
)
"""Every code that an answer or a failed job may carry. They are stable: clients compare them."""

ErrorType = Literal[
    "server_error",
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "conflict_error",
    "insufficient_quota",
    "rate_limit_error",
]


class ErrorDetail(TypedDict):
    """What went wrong and what to do, in words; which of the fields sent is meant."""

    message: str
    type: ErrorType
    param: str | None
    code: ErrorCode


class Error(TypedDict):
    """OpenAI's error body, with which every refusal answers."""

    error: ErrorDetail


class TuneryError(Exception):
    """What went wrong, in the words and the wire shape a caller sees.

    `code` is stable and machine-readable, `param` names the offending field, `headers` travel on
    the HTTP answer.
    """

    status: int = 500
    type: ErrorType = "server_error"
    code: ErrorCode = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> Error:
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
    status, type = 400, "invalid_request_error"
    code: ErrorCode = "invalid_request"


class Unauthenticated(TuneryError):
    status, type = 401, "authentication_error"
    code: ErrorCode = "invalid_api_key"


class Forbidden(TuneryError):
    status, type = 403, "permission_error"
    code: ErrorCode = "forbidden"


class NotFound(TuneryError):
    status, type = 404, "invalid_request_error"
    code: ErrorCode = "not_found"


class Conflict(TuneryError):
    status, type = 409, "conflict_error"
    code: ErrorCode = "conflict"


class TooLarge(TuneryError):
    status, type = 413, "invalid_request_error"
    code: ErrorCode = "too_large"


class InsufficientCredit(TuneryError):
    """The `openai` client retries every 429 unless told not to; waiting does not bring credit."""

    status, type = 429, "insufficient_quota"
    code: ErrorCode = "insufficient_quota"

    def __init__(self, message: str, *, code: ErrorCode | None = None) -> None:
        super().__init__(message, code=code, headers={"x-should-retry": "false"})


class RateLimited(TuneryError):
    status, type = 429, "rate_limit_error"
    code: ErrorCode = "rate_limit_exceeded"


class Unavailable(TuneryError):
    status, type = 503, "server_error"
    code: ErrorCode = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 2) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_seconds)})

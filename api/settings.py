"""Every setting and limit of the service, read once from the environment (or `.env`).

A limit's name here is the name that refusals, docs and tests use.
"""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20
GIB = 2**30


class Settings(BaseSettings):
    """Names are upper-cased in the environment: `database_url` is `DATABASE_URL`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    # Outside things. Empty: `tunery up` starts an embedded one.
    database_url: str = Field(default="", description="PostgreSQL, as the API's login")
    database_system_url: str = Field(default="", description="as the workers' login; else the same")
    database_owner_url: str = Field(
        default="", description="as the owner, to migrate; else the same"
    )
    redis_url: str = Field(default="", description="Redis or Valkey: event tails and Celery")
    s3_endpoint: str = Field(default="", description="S3 endpoint as the service reaches it")
    s3_public_endpoint: str = Field(default="", description="as browsers reach it; else the same")
    s3_bucket: str = "tunery"
    s3_region: str = "us-east-1"
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")

    # Where and how the service runs.
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = Field(default="http://127.0.0.1:8000", description="as people reach it")
    data_dir: Path = Field(default=Path(".tunery"), description="embedded engines and caches")
    cache_dir: Path | None = Field(
        default=None, description="weights, artifacts; else data_dir/cache"
    )
    catalog_file: Path | None = Field(default=None, description="YAML of base models beside ours")
    default_base_model: str = "smollm2-135m-instruct"
    log_level: str = "info"
    hf_token: SecretStr = SecretStr("")

    # Limits.
    upload_bytes_max: int = 512 * MIB
    upload_part_bytes: int = 8 * MIB
    resumable_upload_bytes_max: int = Field(
        default=8 * GIB, description="a file that is uploaded in parts"
    )
    received_part_bytes_max: int = Field(default=64 * MIB, description="one of these parts")
    unpacked_bytes_max: int = Field(default=4 * GIB, description="what a gzip or zip may hold")
    unpacked_ratio_max: int = Field(default=500, description="unpacked bytes for each packed one")
    xlsx_bytes_max: int = Field(default=256 * MIB, description="an Excel file, unpacked")
    row_group_bytes_max: int = Field(default=1 * GIB, description="of a Parquet file, unpacked")
    columns_max: int = 256
    line_bytes_max: int = 1 * MIB
    rows_max: int = 10_000_000
    messages_per_row_max: int = 1_000
    json_depth_max: int = 32
    problems_max: int = Field(default=100, description="row problems reported one by one")
    mixed_files_max: int = Field(default=16, description="files in one job")
    preflight_memory_max: int = Field(
        default=3 * GIB, description="bytes the process that reads a file may take"
    )
    preflight_row_seconds_max: float = 60.0
    preflight_seconds_max: float = 4 * 3_600.0
    train_memory_bytes: int = Field(
        default=0, description="memory of a training worker's device; 0: not stated"
    )
    request_body_bytes_max: int = 4 * MIB
    page_items_max: int = 1_000
    queued_jobs_max: int = Field(default=20, description="per tenant")
    running_jobs_max: int = Field(default=4, description="per tenant")
    storage_bytes_max: int = Field(
        default=50 * GIB, description="files and tuned models, per tenant"
    )
    requests_per_minute_max: int = Field(default=1_200, description="per tenant")
    credits_per_day_max: int = Field(
        default=0, description="micro-credits held or spent, per tenant and day (UTC); 0: no limit"
    )
    credits_per_month_max: int = Field(default=0, description="as above, per month")
    statement_rows_max: int = Field(default=100_000, description="entries in one CSV")
    api_keys_max: int = Field(default=50, description="per tenant")
    invitations_max: int = Field(default=100, description="open ones, per tenant")
    sse_streams_max: int = Field(default=20, description="per tenant and API process")
    chat_tokens_max: int = Field(default=1_024, description="generated tokens a turn")
    sign_in_attempts_max: int = Field(default=5, description="per e-mail in 15 minutes")
    redeem_attempts_max: int = Field(default=10, description="per person in 15 minutes")
    redeem_attempts_per_address_max: int = Field(
        default=100, description="per network address in 15 minutes"
    )
    voucher_codes_max: int = Field(default=10_000, description="made at once")
    cache_bytes_max: int = 100 * GIB

    # Time.
    lease_seconds: float = 60.0
    beat_seconds: float = 10.0
    sweep_seconds: float = 5.0
    hold_hours: int = Field(
        default=24, description="a hold lapses after, if no live job or turn has it"
    )
    expire_seconds: int = Field(default=60, description="between two looks for what has expired")
    crashes_max: int = Field(default=3, description="attempts lost without a new checkpoint")
    session_idle_days: int = 7
    session_days_max: int = 30
    invitation_days: int = 7
    presign_seconds: int = 900
    upload_hours: int = Field(default=24, description="a file's parts may take to arrive")
    quote_minutes: int = Field(default=60, description="a quote is good for")
    encoding_days_max: int = Field(default=30, description="an encoding nobody uses is kept for")
    chat_timeout_seconds: float = 120.0

    # Money, in micro-credits.
    sign_up_credits: int = Field(default=100_000_000, description="granted to a new tenant")
    low_balance_credits: int = Field(
        default=5_000_000,
        description="below it a tenant is alerted, if it chose no other; 0: never",
    )
    referral_credits: int = Field(
        default=20_000_000, description="to both, once an invited tenant's first job succeeds"
    )

    def cache_path(self) -> Path:
        return self.cache_dir or self.data_dir / "cache"

    def system_url(self) -> str:
        return self.database_system_url or self.database_url

    def owner_url(self) -> str:
        return self.database_owner_url or self.database_url


@lru_cache
def settings() -> Settings:
    """The one Settings object of this process."""
    return Settings()

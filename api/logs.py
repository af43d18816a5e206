"""Logs: one line an event, key=value, with whatever was bound once (tenant, job, attempt)."""

import logging

import structlog

from api.settings import settings


def configure() -> None:
    """For this process: our events at `log_level`, libraries only where something is wrong."""
    level = logging.getLevelNamesMapping()[settings().log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )

"""Alembic migrations, and the roles, policies and triggers that guard the tables."""

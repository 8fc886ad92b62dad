"""The ledger's tables, edition by edition (alembic), the same on SQLite and PostgreSQL."""

EDITIONS = ("0001", "0002")
"""Revisions in order; the last is the one this program reads and writes."""

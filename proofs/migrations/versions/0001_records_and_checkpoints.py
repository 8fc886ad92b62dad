"""Records and checkpoints, append-only."""

import sqlalchemy as sa
from alembic import op

from proofs.migrations.append_only import protect

revision = "0001"
down_revision = None
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes the two tables."""
    op.create_table(
        "record",
        sa.Column("index", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    for table in ("record", "checkpoint"):
        protect(table)

"""Full tiles of the tree, so that opening need not hash every record; cosignatures; when a checkpoint was made."""

import sqlalchemy as sa
from alembic import op

from proofs.checker.merkle import leaf_hash
from proofs.migrations.append_only import protect
from proofs.tree import Tree

revision = "0002"
down_revision = "0001"
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
AT_ONCE = 4096


def upgrade() -> None:
    """Makes the tables, and the tiles of the records that are there."""
    op.add_column("checkpoint", sa.Column("at", sa.BigInteger, nullable=True))
    op.create_table(
        "tile",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("index", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "cosignature",
        sa.Column("size", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("witness", sa.Text, primary_key=True),
        sa.Column("line", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        # Compressing what is hashed and signed anyway costs more than it saves.
        op.execute("ALTER TABLE record ALTER COLUMN data SET STORAGE EXTERNAL")
    tree = Tree()
    while True:
        rows = connection.execute(
            sa.text('SELECT data FROM record WHERE "index" >= :first AND "index" < :end ORDER BY "index"'),
            {"first": tree.size, "end": tree.size + AT_ONCE},
        ).fetchall()
        tree, tiles = tree.extended([leaf_hash(bytes(row[0])) for row in rows])
        for tile in tiles:
            connection.execute(
                sa.text('INSERT INTO tile (level, "index", hashes, root) VALUES (:level, :place, :hashes, :root)'),
                {"level": tile.level, "place": tile.index, "hashes": tile.hashes, "root": tile.root},
            )
        if len(rows) < AT_ONCE:
            break
    for table in ("record", "checkpoint", "tile", "cosignature"):
        protect(table)
    protect("record", inserts='"index"')
    protect("checkpoint", inserts="size")

"""Triggers that refuse every change to what a table holds, in both stores."""

from alembic import op


def protect(table: str, inserts: str = "") -> None:
    """Refuses updates, deletions and truncation; with `inserts`, a key column, also insertions that replace a row.

    SQLite needs the last: `INSERT OR REPLACE` removes a row without asking the trigger for deletions.
    """
    if op.get_bind().dialect.name == "sqlite":
        if inserts:
            there = f"EXISTS (SELECT 1 FROM {table} WHERE {inserts} = NEW.{inserts})"  # noqa: S608  # nosec B608  # our own names
            op.execute(
                f"CREATE TRIGGER {table}_replace BEFORE INSERT ON {table} WHEN {there} "
                "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
            )
            return
        for act in ("UPDATE", "DELETE"):
            # A store may have them from before editions were counted.
            op.execute(f"DROP TRIGGER IF EXISTS {table}_{act.lower()}")
            op.execute(
                f"CREATE TRIGGER {table}_{act.lower()} BEFORE {act} ON {table} "
                "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
            )
    elif not inserts:
        op.execute(
            "CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        )
        for act in ("change", "truncate"):
            op.execute(f"DROP TRIGGER IF EXISTS {table}_{act} ON {table}")
        op.execute(
            f"CREATE TRIGGER {table}_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()"
        )

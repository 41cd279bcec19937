"""The ledger finds its rows by their place in the chain, and the end of each chain is known.

The form of the hash is new: it is taken from the text of every column as PostgreSQL states it, and covers the instant
of sealing. Chains of the form before are opened, and sealed anew by the worker.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

POLICY = (
    "create policy own_rows on ledger_tip to axisor_app using (exchange_account_id in "
    "(select exchange_account_id from exchange_account where user_id = "
    "nullif(current_setting('axisor.user_id', true), '')::uuid))"
)
SCHEMA = (
    "create index decision_by_id on decision (exchange_account_id, decision_id)",
    "create index decision_by_seq on decision (exchange_account_id, seq) where seq is not null",
    """
    create table ledger_tip (
        exchange_account_id uuid primary key references exchange_account (exchange_account_id) on delete cascade,
        seq bigint not null,
        hash bytea not null
    )
    """,
    "alter table ledger_tip enable row level security",
    POLICY,
    "create policy every_row on ledger_tip to axisor_guard, axisor_worker using (true) with check (true)",
    "grant select on ledger_tip to axisor_app, axisor_guard",
    "grant select, insert, update on ledger_tip to axisor_worker",
    "delete from ledger_head",
    "update decision set seq = null where seq is not null",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("delete from ledger_head")
    op.execute("update decision set seq = null where seq is not null")
    op.execute("drop table ledger_tip")
    op.execute("drop index decision_by_seq")
    op.execute("drop index decision_by_id")

"""Drills: the smallest top-up and a stop moved by a tick and back, each request with its answer.

Only a table is added: the release before this one runs on it.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    create table drill (
        exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
        drill_id uuid not null,                      -- that of the request that asked for it
        position_id uuid not null,
        started_at timestamptz not null,
        finished_at timestamptz,
        status text not null check (status in ('running', 'passed', 'failed', 'unknown')),
        steps jsonb not null,                        -- name, intent_id, ok, detail, in their order
        primary key (exchange_account_id, drill_id)
    )
    """,
    "create index drill_of_trade on drill (exchange_account_id, position_id, started_at)",
    "alter table drill enable row level security",
    (
        "create policy own_rows on drill to axisor_app using (exchange_account_id in "
        "(select exchange_account_id from exchange_account where user_id = "
        "nullif(current_setting('axisor.user_id', true), '')::uuid))"
    ),
    "create policy every_row on drill to axisor_guard, axisor_worker using (true) with check (true)",
    "grant select, insert on drill to axisor_app",
    "grant select, insert, update on drill to axisor_guard",
    "grant select, insert, update, delete on drill to axisor_worker",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table drill")

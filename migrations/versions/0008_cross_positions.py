"""The cross position of each account as last read, and the room it had when its guard began.

Only a table is added: the release before this one runs on it.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    create table cross_position (
        exchange_account_id uuid primary key references exchange_account (exchange_account_id) on delete cascade,
        position_id uuid not null,
        quantity_usd bigint not null,                -- signed: negative for a short, 0 while flat
        leverage integer not null,
        margin_sats bigint not null,
        entry_price bigint,                          -- half-dollars
        liquidation_price bigint,
        running_margin_sats bigint not null,
        initial_margin_sats bigint not null,
        maintenance_margin_sats bigint not null,
        trading_fees_sats bigint not null,
        funding_fees_sats bigint not null,           -- signed, positive is paid
        total_pnl_sats bigint not null,
        delta_pnl_sats bigint not null,
        stated_at timestamptz not null,              -- as the exchange dates it
        full_room text,                              -- exact fraction; when the guard of this position began
        guarded_since timestamptz,                   -- null where it is not guarded
        requested_at timestamptz not null
    )
    """,
    "alter table cross_position enable row level security",
    (
        "create policy own_rows on cross_position to axisor_app using (exchange_account_id in "
        "(select exchange_account_id from exchange_account where user_id = "
        "nullif(current_setting('axisor.user_id', true), '')::uuid))"
    ),
    "create policy every_row on cross_position to axisor_guard, axisor_worker using (true) with check (true)",
    "grant select on cross_position to axisor_app",
    "grant select, insert, update on cross_position to axisor_guard",
    "grant select, insert, update, delete on cross_position to axisor_worker",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table cross_position")

"""What each rescue kept or cost a day later.

Only a table is added: the release before this one runs on it.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    create table rescue_follow_up (
        exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
        decision_id uuid not null,
        position_id uuid not null,
        at timestamptz not null,                     -- the instant that is looked at
        kept_sats bigint,                            -- negative where it cost; null where it is not known
        with_value_sats bigint,
        without_value_sats bigint,
        would_have_died boolean,
        added_sats bigint not null,
        note text,
        primary key (exchange_account_id, decision_id)
    )
    """,
    "alter table rescue_follow_up enable row level security",
    (
        "create policy own_rows on rescue_follow_up to axisor_app using (exchange_account_id in "
        "(select exchange_account_id from exchange_account where user_id = "
        "nullif(current_setting('axisor.user_id', true), '')::uuid))"
    ),
    "create policy every_row on rescue_follow_up to axisor_worker using (true) with check (true)",
    "grant select on rescue_follow_up to axisor_app",
    "grant select, insert, delete on rescue_follow_up to axisor_worker",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table rescue_follow_up")

"""Rules of a person beside those of accounts and trades; what new trades get; which trades are not guarded.

Only tables and nullable columns are added: the release before this one runs on it.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OWN_USER = "(user_id = nullif(current_setting('axisor.user_id', true), '')::uuid)"
_OWN_ACCOUNT = (
    "(exchange_account_id in (select exchange_account_id from exchange_account where user_id = "
    "nullif(current_setting('axisor.user_id', true), '')::uuid))"
)
SCHEMA = (
    """
    create table user_rule (
        user_id uuid primary key references app_user on delete cascade,
        rule_id uuid not null,
        version integer not null,
        is_enabled boolean not null default true,
        created_at timestamptz not null default now(),
        unique (user_id, rule_id)
    )
    """,
    """
    create table user_rule_version (
        user_id uuid not null,
        rule_id uuid not null,
        version integer not null,
        body jsonb not null,
        created_at timestamptz not null default now(),
        created_by uuid,
        accepted_conflicts jsonb,                    -- kinds that the author was shown and saved nevertheless
        primary key (user_id, rule_id, version),
        foreign key (user_id, rule_id) references user_rule (user_id, rule_id) on delete cascade
    )
    """,
    "alter table rule_version add column accepted_conflicts jsonb",
    """
    create table new_trade_preset (
        exchange_account_id uuid primary key references exchange_account (exchange_account_id) on delete cascade,
        preset text not null check (preset in ('watch', 'hold', 'hold_longer', 'cut', 'custom')),
        version integer not null,
        chosen_by uuid,
        chosen_at timestamptz not null
    )
    """,
    """
    create table trade_guard (
        exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
        position_id uuid not null,
        is_guarded boolean not null,                 -- false: its owner said "do not guard"
        seen_at timestamptz not null,
        changed_at timestamptz not null,
        primary key (exchange_account_id, position_id)
    )
    """,
    # Trades that stand there are not new: their owners were told of them.
    """
    insert into trade_guard (exchange_account_id, position_id, is_guarded, seen_at, changed_at)
    select exchange_account_id, position_id, true, requested_at, requested_at from position
    where status in ('open', 'running')
    """,
)
BY_USER = ("user_rule", "user_rule_version")
BY_ACCOUNT = ("new_trade_preset", "trade_guard")


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)
    for table in (*BY_USER, *BY_ACCOUNT):
        own = _OWN_USER if table in BY_USER else _OWN_ACCOUNT
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy own_rows on {table} to axisor_app using {own}")
        op.execute(f"create policy every_row on {table} to axisor_guard, axisor_worker using (true) with check (true)")
        op.execute(f"grant select on {table} to axisor_guard")
    for table in ("user_rule", *BY_ACCOUNT):
        op.execute(f"grant select, insert, update, delete on {table} to axisor_app, axisor_worker")
    # A version is written once.
    op.execute("grant select, insert on user_rule_version to axisor_app, axisor_worker")
    op.execute("grant insert, update on trade_guard to axisor_guard")


def downgrade() -> None:
    for table in ("trade_guard", "new_trade_preset", "user_rule_version", "user_rule"):
        op.execute(f"drop table {table}")
    op.execute("alter table rule_version drop column accepted_conflicts")

"""The first schema: people, exchange accounts, positions, intents, the ledger, the outbox.

Every tenant table has `user_id` or `exchange_account_id` first in its primary key and is fenced by row-level
security. Prices are integers of half-dollars, amounts are sats.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_BY_USER = ("refresh_session", "start_link", "notification", "audit_event", "demo_run", "exchange_account")
TENANT_BY_ACCOUNT = (
    "exchange_credential",
    "position",
    "rule",
    "rule_version",
    "rung_state",
    "intent",
    "attempt",
    "attempt_step",
    "budget_reservation",
    "decision",
    "ledger_head",
    "command_request",
    "spending_stop",
    "guard_fence",
    "incident",
)
HASH_PARTITIONS = 8

SCHEMA = """
create table app_user (
    user_id uuid primary key,
    email text,
    display_name text not null,
    password_hash text,
    role text not null check (role in ('owner', 'administrator', 'operator', 'trader', 'viewer')),
    locale text not null default 'en',
    is_demo boolean not null default false,
    created_at timestamptz not null default now(),
    disabled_at timestamptz
);
create unique index app_user_email on app_user (lower(email));

create table refresh_session (
    user_id uuid not null references app_user on delete cascade,
    session_id uuid not null,
    family_id uuid not null,
    token_hash bytea not null unique,
    user_agent text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    revoked_at timestamptz,
    primary key (user_id, session_id)
);
create index refresh_session_family on refresh_session (user_id, family_id);

create table start_link (
    user_id uuid not null references app_user on delete cascade,
    token_hash bytea not null unique,
    expires_at timestamptz not null,
    used_at timestamptz,
    primary key (user_id, token_hash)
);

create table exchange_account (
    user_id uuid not null references app_user on delete cascade,
    exchange_account_id uuid not null unique,
    name text not null,
    network text not null check (network in ('paper', 'signet', 'mainnet')),
    is_guarded boolean not null,
    is_armed boolean not null default false,
    compares_with uuid,
    balance_sats bigint,
    fee_tier smallint,
    balance_read_at timestamptz,
    created_at timestamptz not null default now(),
    archived_at timestamptz,
    primary key (user_id, exchange_account_id),
    check (network <> 'mainnet' or not is_guarded or is_armed)
);

create table exchange_credential (
    exchange_account_id uuid primary key references exchange_account (exchange_account_id) on delete cascade,
    wrapped_key bytea not null,
    ciphertext bytea not null,
    master_key_id text not null,
    created_at timestamptz not null default now()
);

create table position (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    position_id uuid not null,
    kind text not null check (kind in ('trade', 'cross')),
    side text not null check (side in ('long', 'short')),
    order_type text not null check (order_type in ('limit', 'market')),
    status text not null check (status in ('open', 'running', 'closed', 'canceled')),
    client_id text,
    quantity_usd bigint not null,
    margin_sats bigint not null,
    leverage numeric not null,
    price integer not null,
    entry_price integer,
    entry_margin_sats bigint,
    liquidation_price integer not null,
    stop_loss_price integer,
    take_profit_price integer,
    trailing_distance numeric,
    exit_price integer,
    opening_fee_sats bigint not null,
    closing_fee_sats bigint not null,
    maintenance_margin_sats bigint not null,
    pnl_sats bigint not null,
    sum_funding_fees_sats bigint not null,
    sum_cash_in_pnl_sats bigint not null,
    sum_cash_in_margin_sats bigint not null,
    funding_paid_sats bigint,                    -- out of the margin; null: not explained by the list of fees
    close_reason text check (close_reason in ('user', 'stop_loss', 'take_profit', 'liquidation', 'unknown')),
    own_stop_price integer,                      -- the last stop that Axisor set; another value is the user's
    created_at timestamptz not null,
    filled_at timestamptz,
    closed_at timestamptz,
    requested_at timestamptz not null,           -- when the reading behind these facts was requested
    source text not null check (source in ('reading', 'answer', 'event', 'sync')),
    updated_at timestamptz not null default now(),
    primary key (exchange_account_id, position_id)
);
create index position_live on position (exchange_account_id) where status in ('open', 'running');

create table rule (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    rule_id uuid not null,
    position_id uuid,                            -- null: the account's default for its trades
    version integer not null,
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    primary key (exchange_account_id, rule_id)
);
create unique index rule_scope on rule
    (exchange_account_id, coalesce(position_id, '00000000-0000-0000-0000-000000000000'::uuid));

create table rule_version (
    exchange_account_id uuid not null,
    rule_id uuid not null,
    version integer not null,
    body jsonb not null,
    created_at timestamptz not null default now(),
    created_by uuid,
    primary key (exchange_account_id, rule_id, version),
    foreign key (exchange_account_id, rule_id) references rule on delete cascade
);

create table rung_state (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    position_id uuid not null,
    rung text not null,
    arming_no integer not null,
    is_armed boolean not null,
    changed_at timestamptz not null,
    primary key (exchange_account_id, position_id, rung)
);

create table guard_fence (
    exchange_account_id uuid primary key references exchange_account (exchange_account_id) on delete cascade,
    fence bigint not null                        -- the newest owner; an older one can write nothing more
);

create table intent (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    intent_id uuid not null,
    position_id uuid not null,
    command text not null,
    command_class text not null check (command_class in ('end', 'money_in', 'risk')),
    cause_kind text not null check (cause_kind in ('rule', 'request', 'backstop')),
    cause_id uuid not null,                      -- rule, request or position
    cause_key text not null,                     -- rung and arming, or the request's own key
    decision_id uuid,
    created_at timestamptz not null,
    primary key (exchange_account_id, intent_id),
    unique (exchange_account_id, position_id, cause_kind, cause_id, cause_key)
) partition by hash (exchange_account_id);

create table attempt (
    exchange_account_id uuid not null,
    intent_id uuid not null,
    attempt_no integer not null,
    position_id uuid not null,
    command_class text not null,
    state text not null check
        (state in ('sent', 'confirmed', 'refused', 'not_processed', 'unknown', 'not_applied', 'late_confirmed')),
    arguments jsonb not null,
    amount_sats bigint,
    tag integer,
    is_second_send boolean not null default false,
    fence bigint not null,
    signature_ms bigint not null,
    signed_at timestamptz not null,
    quiet_until timestamptz not null,
    counter_before_sats bigint,
    sent_at timestamptz,
    answered_at timestamptz,
    settled_at timestamptz,
    reason text,
    answer jsonb,
    tick_at timestamptz,
    from_spool boolean not null default false,
    primary key (exchange_account_id, intent_id, attempt_no),
    foreign key (exchange_account_id, intent_id) references intent
) partition by hash (exchange_account_id);
create unique index attempt_one_open_money_in on attempt (exchange_account_id, position_id, is_second_send)
    where command_class = 'money_in' and state in ('sent', 'unknown');
create index attempt_open on attempt (exchange_account_id) where state in ('sent', 'unknown');

create table attempt_step (
    exchange_account_id uuid not null,
    intent_id uuid not null,
    attempt_no integer not null,
    step_no integer not null,
    state text not null,
    at timestamptz not null,
    detail jsonb not null default '{}',
    primary key (exchange_account_id, intent_id, attempt_no, step_no)
) partition by hash (exchange_account_id);

create table budget_reservation (
    exchange_account_id uuid not null,
    intent_id uuid not null,
    attempt_no integer not null,
    position_id uuid not null,
    amount_sats bigint not null check (amount_sats > 0),
    state text not null check (state in ('reserved', 'spent', 'released')),
    reserved_at timestamptz not null,
    changed_at timestamptz not null,
    primary key (exchange_account_id, intent_id, attempt_no)
);
create index budget_by_time on budget_reservation (exchange_account_id, reserved_at) where state <> 'released';

create table decision (
    exchange_account_id uuid not null,
    at timestamptz not null,
    decision_id uuid not null,
    position_id uuid not null,
    seq bigint,                                  -- given when the row is sealed into the chain
    action text not null,
    reason text not null,
    inputs jsonb not null,
    arithmetic jsonb not null,
    rule_id uuid,
    rule_version integer,
    code_version text not null,
    primary key (exchange_account_id, at, decision_id)
) partition by range (at);
create table decision_default partition of decision default;
create index decision_unsealed on decision (exchange_account_id, at, decision_id) where seq is null;

create table ledger_head (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    seq bigint not null,
    decision_id uuid not null,
    previous_hash bytea not null,
    hash bytea not null,
    sealed_at timestamptz not null,
    primary key (exchange_account_id, seq)
);

create table command_request (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    request_id uuid not null,
    user_id uuid not null,
    position_id uuid not null,
    command text not null,
    arguments jsonb not null,
    idempotency_key text not null,
    status text not null check
        (status in ('requested', 'sent', 'confirmed', 'refused', 'not_applied', 'unknown', 'expired')),
    detail text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    settled_at timestamptz,
    primary key (exchange_account_id, request_id),
    unique (exchange_account_id, user_id, idempotency_key)
);
create index command_request_due on command_request (exchange_account_id) where status = 'requested';

create table spending_stop (
    exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
    scope_id uuid not null,                      -- a position, or the exchange account itself
    stopped_by uuid,
    stopped_at timestamptz not null,
    primary key (exchange_account_id, scope_id)
);

create table incident (
    exchange_account_id uuid not null,
    incident_id uuid not null,
    kind text not null,
    at timestamptz not null,
    data jsonb not null,
    primary key (exchange_account_id, incident_id)
);

create table candle (
    interval_s integer not null,
    at timestamptz not null,
    network text not null,
    open integer not null,
    high integer not null,
    low integer not null,
    close integer not null,
    volume numeric not null default 0,
    primary key (network, interval_s, at)
) partition by range (at);
create table candle_default partition of candle default;

create table notification (
    user_id uuid not null references app_user on delete cascade,
    notification_id uuid not null,
    exchange_account_id uuid,
    position_id uuid,
    severity text not null check (severity in ('info', 'deed', 'caution', 'danger')),
    kind text not null,
    data jsonb not null,
    decision_id uuid,
    at timestamptz not null,
    read_at timestamptz,
    primary key (user_id, notification_id)
);
create index notification_newest on notification (user_id, at desc, notification_id desc);

create table outbox (
    outbox_id uuid primary key,
    topic text not null,
    dedupe_key text,
    user_id uuid,
    exchange_account_id uuid,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    relayed_at timestamptz
);
create index outbox_due on outbox (outbox_id) where relayed_at is null;

create table audit_event (
    user_id uuid not null,
    seq bigint not null,
    at timestamptz not null,
    actor text not null,
    action text not null,
    data jsonb not null,
    previous_hash bytea not null,
    hash bytea not null,
    primary key (user_id, seq)
);

create table demo_run (
    user_id uuid not null references app_user on delete cascade,
    run_no integer not null,
    scenario text not null,
    seed bigint not null,
    guarded_account_id uuid not null,
    unguarded_account_id uuid not null,
    status text not null check (status in ('preparing', 'waiting', 'running', 'ended')),
    started_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (user_id, run_no)
);
"""


def _tenant_policies() -> None:
    """Fence the app role; the guard and worker roles serve all tenants and see every row."""
    for table in TENANT_BY_USER:
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy own_rows on {table} to axisor_app using "
            "(user_id = nullif(current_setting('axisor.user_id', true), '')::uuid)"
        )
    for table in TENANT_BY_ACCOUNT:
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy own_rows on {table} to axisor_app using (exchange_account_id in "
            "(select exchange_account_id from exchange_account where user_id = "
            "nullif(current_setting('axisor.user_id', true), '')::uuid))"
        )
    for table in (*TENANT_BY_USER, *TENANT_BY_ACCOUNT):
        op.execute(f"create policy every_row on {table} to axisor_guard, axisor_worker using (true) with check (true)")


GUARD_READS = ("app_user", "exchange_account", "exchange_credential", "rule", "rule_version", "spending_stop")
GUARD_WRITES = (
    "position",
    "rung_state",
    "intent",
    "attempt",
    "budget_reservation",
    "command_request",
    "guard_fence",
    "notification",
    "rule",
    "rule_version",
)
GUARD_APPENDS = ("attempt_step", "decision", "ledger_head", "incident", "outbox")
APP_APPENDS = ("decision", "ledger_head", "attempt_step", "audit_event", "incident")


def _grants() -> None:
    op.execute("grant usage on schema public to axisor_app, axisor_guard, axisor_worker")
    op.execute("grant select, insert, update, delete on all tables in schema public to axisor_app, axisor_worker")
    for table in APP_APPENDS:
        op.execute(f"revoke update, delete on {table} from axisor_app, axisor_worker")
    # Sealing gives a decision its place in the chain and touches no other column.
    op.execute("grant update (seq) on decision to axisor_worker")
    for table in GUARD_READS:
        op.execute(f"grant select on {table} to axisor_guard")
    for table in GUARD_WRITES:
        op.execute(f"grant select, insert, update on {table} to axisor_guard")
    for table in GUARD_APPENDS:
        op.execute(f"grant select, insert on {table} to axisor_guard")
    op.execute("grant update (balance_sats, fee_tier, balance_read_at) on exchange_account to axisor_guard")


def upgrade() -> None:
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table in ("intent", "attempt", "attempt_step"):
        for part in range(HASH_PARTITIONS):
            op.execute(
                f"create table {table}_p{part} partition of {table} "
                f"for values with (modulus {HASH_PARTITIONS}, remainder {part})"
            )
    _tenant_policies()
    _grants()


def downgrade() -> None:
    for table in (
        "demo_run",
        "guard_fence",
        "audit_event",
        "outbox",
        "notification",
        "candle",
        "incident",
        "spending_stop",
        "command_request",
        "ledger_head",
        "decision",
        "budget_reservation",
        "attempt_step",
        "attempt",
        "intent",
        "rung_state",
        "rule_version",
        "rule",
        "position",
        "exchange_credential",
        "exchange_account",
        "start_link",
        "refresh_session",
        "app_user",
    ):
        op.execute(f"drop table {table} cascade")

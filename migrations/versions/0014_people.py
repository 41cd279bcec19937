"""Devices, second factors, codes, mails and personal API tokens of people.

Tables and one column are added: the release before this one runs on it, and the sessions it begins meanwhile are
taken up at their next refresh.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TENANT_BY_USER = (
    "device_session",
    "known_device",
    "one_time_code",
    "totp_factor",
    "recovery_code",
    "passkey",
    "wallet_key",
    "api_token",
)

SCHEMA = (
    "alter table app_user add column email_verified_at timestamptz",
    """
    create table device_session (
        user_id uuid not null references app_user on delete cascade,
        family_id uuid not null,
        method text not null,
        user_agent text not null,
        address text not null,
        created_at timestamptz not null,
        last_seen_at timestamptz not null,
        strong_at timestamptz,                       -- when the person last proved who they are
        ended_at timestamptz,
        primary key (user_id, family_id)
    )
    """,
    """
    insert into device_session (user_id, family_id, method, user_agent, address, created_at, last_seen_at, ended_at)
    select user_id, family_id, 'unknown', coalesce(max(user_agent), ''), 'unknown', min(created_at), max(created_at),
        max(revoked_at)
    from refresh_session group by user_id, family_id
    """,
    """
    create table known_device (
        user_id uuid not null references app_user on delete cascade,
        token_hash bytea not null,
        created_at timestamptz not null,
        last_seen_at timestamptz not null,
        primary key (user_id, token_hash)
    )
    """,
    """
    create table invitation (
        invitation_id uuid primary key,
        token_hash bytea not null unique,
        email text,                                  -- null: whoever has the link
        role text not null check (role in ('administrator', 'operator', 'trader', 'viewer')),
        invited_by uuid references app_user on delete set null,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        used_at timestamptz
    )
    """,
    """
    create table pending_registration (
        registration_id uuid primary key,
        email text not null,
        password_hash text not null,
        display_name text not null,
        locale text not null,
        role text not null,
        invitation_id uuid references invitation on delete cascade,
        link_hash bytea not null unique,
        code_hash bytea not null,
        attempts integer not null default 0,
        created_at timestamptz not null,
        expires_at timestamptz not null
    )
    """,
    "create index pending_registration_email on pending_registration (lower(email))",
    """
    create table one_time_code (
        user_id uuid not null references app_user on delete cascade,
        code_id uuid not null,
        purpose text not null check (purpose in ('reset_password', 'change_email')),
        email text,
        link_hash bytea not null unique,
        code_hash bytea not null,
        attempts integer not null default 0,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        used_at timestamptz,
        primary key (user_id, code_id)
    )
    """,
    """
    create table totp_factor (
        user_id uuid primary key references app_user on delete cascade,
        sealed bytea not null,
        last_step bigint not null default 0,         -- of 30 s; a step is used once
        created_at timestamptz not null,
        confirmed_at timestamptz
    )
    """,
    """
    create table recovery_code (
        user_id uuid not null references app_user on delete cascade,
        code_hash bytea not null,
        created_at timestamptz not null,
        used_at timestamptz,
        primary key (user_id, code_hash)
    )
    """,
    """
    create table passkey (
        user_id uuid not null references app_user on delete cascade,
        credential_id bytea not null unique,
        public_key bytea not null,
        sign_count bigint not null,
        name text not null,
        created_at timestamptz not null,
        last_used_at timestamptz,
        primary key (user_id, credential_id)
    )
    """,
    """
    create table wallet_key (
        user_id uuid not null references app_user on delete cascade,
        linking_key bytea not null unique,
        name text not null,
        created_at timestamptz not null,
        last_used_at timestamptz,
        primary key (user_id, linking_key)
    )
    """,
    """
    create table api_token (
        user_id uuid not null references app_user on delete cascade,
        token_id uuid not null,
        name text not null,
        token_hash bytea not null unique,
        scopes text[] not null,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        last_used_at timestamptz,
        revoked_at timestamptz,
        primary key (user_id, token_id)
    )
    """,
    """
    create table mail (
        mail_id uuid primary key,
        user_id uuid references app_user on delete cascade,
        sealed bytea,                                -- address, subject and text; null once sent
        created_at timestamptz not null,
        sent_at timestamptz
    )
    """,
    "create index mail_due on mail (created_at) where sent_at is null",
    # A wallet signs in by its key alone: who it belongs to is the one thing the app role may ask about all people.
    """
    create function axisor_owner_of_wallet(key bytea) returns uuid language sql stable security definer
    set search_path = public, pg_temp
    as $$ select user_id from wallet_key where linking_key = key $$
    """,
    "revoke all on function axisor_owner_of_wallet(bytea) from public",
    "grant execute on function axisor_owner_of_wallet(bytea) to axisor_app, axisor_worker",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)
    for table in TENANT_BY_USER:
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy own_rows on {table} to axisor_app using "
            "(user_id = nullif(current_setting('axisor.user_id', true), '')::uuid)"
        )
        op.execute(f"create policy every_row on {table} to axisor_worker using (true) with check (true)")
    for table in (*TENANT_BY_USER, "invitation", "pending_registration"):
        op.execute(f"grant select, insert, update, delete on {table} to axisor_app, axisor_worker")
    # The api role posts mails and cannot read one: they hold links that reset passwords.
    op.execute("grant insert on mail to axisor_app")
    op.execute("grant select, insert, update, delete on mail to axisor_worker")


def downgrade() -> None:
    op.execute("drop function axisor_owner_of_wallet(bytea)")
    for table in (
        "mail",
        "api_token",
        "wallet_key",
        "passkey",
        "recovery_code",
        "totp_factor",
        "one_time_code",
        "pending_registration",
        "invitation",
        "known_device",
        "device_session",
    ):
        op.execute(f"drop table {table}")
    op.execute("alter table app_user drop column email_verified_at")

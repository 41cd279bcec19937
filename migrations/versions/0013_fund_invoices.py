"""Invoices that people asked for: Lightning payments that raise the free balance at the exchange.

Making one moves nothing. The row is written before the exchange is asked, so that nobody asks twice.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = (
    """
    create table fund_invoice (
        exchange_account_id uuid not null references exchange_account (exchange_account_id) on delete cascade,
        request_id uuid not null,
        amount_sats bigint not null check (amount_sats > 0),
        state text not null check (state in ('asked', 'waiting', 'paid', 'expired', 'refused', 'lost')),
        deposit_id text,
        payment_request text,
        asked_at timestamptz not null,
        expires_at timestamptz,
        settled_at timestamptz,
        primary key (exchange_account_id, request_id)
    )
    """,
    "create index fund_invoice_open on fund_invoice (exchange_account_id) where state in ('asked', 'waiting')",
    "alter table fund_invoice enable row level security",
    (
        "create policy own_rows on fund_invoice to axisor_app using (exchange_account_id in "
        "(select exchange_account_id from exchange_account where user_id = "
        "nullif(current_setting('axisor.user_id', true), '')::uuid))"
    ),
    "create policy every_row on fund_invoice to axisor_guard, axisor_worker using (true) with check (true)",
    "grant select on fund_invoice to axisor_app",
    "grant select, insert, update on fund_invoice to axisor_guard, axisor_worker",
)


def upgrade() -> None:
    for statement in SCHEMA:
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table fund_invoice")

"""Rows are reached through their tables alone: a partition carries no right of its own.

A right on a partition would pass by row-level security and by what its table forbids, such as changing the ledger.
"""

from alembic import op

revision = "0007"
down_revision = "0004"
branch_labels = None
depends_on = None

EVERY_PARTITION = """
do $$
declare part regclass;
begin
    for part in select oid from pg_class where relispartition and relkind = 'r'
        and relnamespace = 'public'::regnamespace
    loop
        execute format('{deed}', part);
    end loop;
end $$
"""


def upgrade() -> None:
    op.execute(EVERY_PARTITION.format(deed="revoke all on %s from axisor_app, axisor_guard, axisor_worker"))


def downgrade() -> None:
    """Leave it: no release needs those rights."""

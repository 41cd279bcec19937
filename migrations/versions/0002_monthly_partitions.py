"""Partitions of the months ahead, made on demand by the worker without owning the tables.

Rows that already fell into the default partition of a month move into the month's own.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ENSURE = """
create function axisor_ensure_partitions(months_ahead integer, today timestamptz default now()) returns integer
language plpgsql security definer set search_path = pg_catalog, public as $body$
declare
    parent text;
    month_start timestamptz;
    part text;
    made integer := 0;
begin
    if months_ahead not between 0 and 24 then
        raise exception 'months_ahead lies between 0 and 24';
    end if;
    perform pg_advisory_xact_lock(7203115);
    foreach parent in array array['decision', 'candle'] loop
        for step in 0..months_ahead loop
            month_start := date_trunc('month', today at time zone 'UTC') at time zone 'UTC';
            month_start := ((month_start at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC';
            part := format('%s_%s', parent, to_char(month_start at time zone 'UTC', 'YYYY_MM'));
            continue when to_regclass(format('public.%I', part)) is not null;
            execute format('create table public.%I (like public.%I including all)', part, parent);
            execute format(
                'with moved as (delete from public.%I where at >= %L and at < %L returning *) '
                'insert into public.%I select * from moved',
                parent || '_default', month_start,
                ((month_start at time zone 'UTC') + interval '1 month') at time zone 'UTC', part
            );
            execute format(
                'alter table public.%I attach partition public.%I for values from (%L) to (%L)',
                parent, part, month_start,
                ((month_start at time zone 'UTC') + interval '1 month') at time zone 'UTC'
            );
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$body$
"""


def upgrade() -> None:
    op.execute(ENSURE)
    op.execute("revoke all on function axisor_ensure_partitions(integer, timestamptz) from public")
    op.execute("grant execute on function axisor_ensure_partitions(integer, timestamptz) to axisor_worker")
    op.execute("select axisor_ensure_partitions(2)")


def downgrade() -> None:
    op.execute("drop function axisor_ensure_partitions(integer, timestamptz)")

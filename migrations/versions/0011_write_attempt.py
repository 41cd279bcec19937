"""An attempt that is about to leave is written by one function: one round trip, and one commit, before its bytes go.

Only a function is added: the release before this one runs on it.
"""

from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

# Each statement of a volatile function sees what was committed before it began. "Stop spending" is written under the
# fence's row: whoever waited for that row sees the stop, which one statement that does all would not.
WRITE_ATTEMPT = """
create function write_attempt(
    its_account uuid, its_intent uuid, its_attempt_no integer, its_trade uuid, its_command text,
    its_command_class text, its_cause_kind text, its_cause_id uuid, its_cause_key text, its_decision uuid,
    its_arguments jsonb, its_amount bigint, its_tag integer, its_second_send boolean, its_fence bigint,
    its_signature_ms bigint, its_signed_at timestamptz, its_quiet_until timestamptz, its_counter_before bigint,
    its_tick_at timestamptz, is_from_spool boolean, is_spent_by_rule boolean,
    decided_at timestamptz, decided_trade uuid, decided_action text, decided_reason text, decided_inputs jsonb,
    decided_arithmetic jsonb, decided_rule uuid, decided_rule_version integer, decided_code_version text
) returns text language plpgsql volatile as $$
begin
    if not is_from_spool then
        insert into guard_fence (exchange_account_id, fence) values (its_account, its_fence)
        on conflict (exchange_account_id) do update set fence = excluded.fence
        where guard_fence.fence <= excluded.fence;
        if not found then
            return 'newer_owner';
        end if;
        if is_spent_by_rule and exists (
            select from spending_stop where exchange_account_id = its_account and scope_id in (its_account, its_trade)
        ) then
            return 'stopped';
        end if;
    end if;
    insert into intent (exchange_account_id, intent_id, position_id, command, command_class, cause_kind, cause_id,
                        cause_key, decision_id, created_at)
    values (its_account, its_intent, its_trade, its_command, its_command_class, its_cause_kind, its_cause_id,
            its_cause_key, its_decision, its_signed_at)
    on conflict (exchange_account_id, intent_id) do nothing;
    insert into attempt (exchange_account_id, intent_id, attempt_no, position_id, command_class, state, arguments,
                         amount_sats, tag, is_second_send, fence, signature_ms, signed_at, quiet_until,
                         counter_before_sats, tick_at, from_spool)
    values (its_account, its_intent, its_attempt_no, its_trade, its_command_class, 'sent', its_arguments, its_amount,
            its_tag, its_second_send, its_fence, its_signature_ms, its_signed_at, its_quiet_until, its_counter_before,
            its_tick_at, is_from_spool);
    insert into attempt_step (exchange_account_id, intent_id, attempt_no, step_no, state, at, detail)
    values (its_account, its_intent, its_attempt_no, 1, 'sent', its_signed_at, '{}');
    if its_amount is not null and (its_command_class = 'money_in' or its_command = 'cash_in') then
        insert into budget_reservation (exchange_account_id, intent_id, attempt_no, position_id, amount_sats, state,
                                        reserved_at, changed_at)
        values (its_account, its_intent, its_attempt_no, its_trade, its_amount, 'reserved', its_signed_at,
                its_signed_at);
    end if;
    if decided_at is not null then
        insert into decision (exchange_account_id, at, decision_id, position_id, action, reason, inputs, arithmetic,
                              rule_id, rule_version, code_version)
        values (its_account, decided_at, its_decision, decided_trade, decided_action, decided_reason, decided_inputs,
                decided_arithmetic, decided_rule, decided_rule_version, decided_code_version)
        on conflict do nothing;
    end if;
    return 'written';
end
$$
"""


def upgrade() -> None:
    op.execute(WRITE_ATTEMPT)

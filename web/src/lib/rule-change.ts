import type { Rule, RuleChange } from '@/api/schema';

/** The part of a rule that can be changed, with the version it was read at. */
export function ruleChangeOf(rule: Rule): RuleChange {
  return {
    top_up_share: rule.top_up_share,
    refill_share: rule.refill_share,
    position_limit_sats: rule.position_limit_sats,
    max_count: rule.max_count,
    stop_share: rule.stop_share,
    warn_share: rule.warn_share,
    version: rule.version,
  };
}

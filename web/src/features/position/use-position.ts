/** What the page of one position reads beside the stream. */
import { keepPreviousData, useQuery, type UseQueryResult } from '@tanstack/react-query';
import { call } from '@/api/client';
import { Check, Drill, LadderPreview, RescueList, RuleView, type RuleBody, type Trade } from '@/api/schema';
import { rulePath } from '@/stores/draft';

const READ_MS = 5_000;

export function tradePath(trade: Pick<Trade, 'exchange_account_id' | 'trade_id'>): string {
  return `/accounts/${trade.exchange_account_id}/trades/${trade.trade_id}`;
}

export function ruleKey(path: string): string[] {
  return ['guard', 'rule', path];
}

export function useRule(trade: Trade): UseQueryResult<RuleView> {
  const path = rulePath({ kind: 'trade', accountId: trade.exchange_account_id, tradeId: trade.trade_id });
  return useQuery({ queryKey: ruleKey(path), queryFn: ({ signal }) => call(path, { schema: RuleView, signal }) });
}

/** What the rule in force would do from here; asked again when the rule, the margin or the stop changes, and now and then for the price. */
export function useLadder(trade: Trade, rule: RuleBody | null): UseQueryResult<LadderPreview> {
  const path = `${tradePath(trade)}/guard/rule/preview`;
  return useQuery({
    queryKey: ['guard', 'ladder', path, rule, trade.margin_sats, trade.stop_loss_price],
    enabled: rule !== null && trade.status === 'running',
    queryFn: ({ signal }) => call(path, { method: 'POST', body: { rule }, schema: LadderPreview, signal }),
    refetchInterval: READ_MS,
    placeholderData: keepPreviousData,
  });
}

export function useRescues(trade: Trade): UseQueryResult<RescueList> {
  const path = `${tradePath(trade)}/rescues`;
  return useQuery({
    queryKey: ['guard', 'rescues', path, trade.added_sats, trade.status],
    queryFn: ({ signal }) => call(path, { schema: RescueList, signal }),
    placeholderData: keepPreviousData,
  });
}

export function useDrill(trade: Trade): UseQueryResult<Drill | null> {
  const path = `${tradePath(trade)}/drill`;
  return useQuery({
    queryKey: ['guard', 'drill', path],
    queryFn: ({ signal }) => call(path, { schema: Drill.nullable(), signal }),
    refetchInterval: (query) => (query.state.data?.status === 'running' ? 700 : false),
  });
}

/** Reads everything again at the exchange; only when asked for. */
export function useCheck(trade: Trade): UseQueryResult<Check> {
  const path = `${tradePath(trade)}/check`;
  return useQuery({ queryKey: ['check', path], enabled: false, queryFn: ({ signal }) => call(path, { method: 'POST', body: {}, schema: Check, signal }), retry: false });
}

/** Which accounts, trades and trade the page is about, from the stores. */
import type { Account, Trade } from '@/api/schema';
import { useAccounts } from '@/stores/accounts';
import { useDemo } from '@/stores/demo';
import { useTrades } from '@/stores/trades';
import { useView } from '@/stores/view';

const LEAD_LEVERAGE = 25;

export interface Chosen {
  /** The guarded account of a pair, or the account selected. */
  account: Account | null;
  /** The account without a guard that it is compared with. */
  twinAccount: Account | null;
  trades: readonly Trade[] | null;
  twinTrades: readonly Trade[] | null;
  receivedAt: number;
  chosen: Trade | null;
  chosenTwin: Trade | null;
  /** The trade the story is told about. */
  lead: Trade | null;
  leadTwin: Trade | null;
  select: (account: Account) => void;
}

const ORDER: Record<string, number> = { running: 0, open: 1, closed: 2, canceled: 3 };

/** Trades that belong on the page: running first within the order of the account; open and canceled orders last. */
export function arrange(trades: readonly Trade[] | undefined): readonly Trade[] | null {
  if (!trades) return null;
  return [...trades]
    .filter((trade) => trade.status !== 'canceled')
    .sort((a, b) => rank(a) - rank(b) || b.entry_margin_sats * b.entry_leverage - a.entry_margin_sats * a.entry_leverage || a.trade_id.localeCompare(b.trade_id));
}

/** The story's trade stands first whatever becomes of it, so that rows do not jump when one closes. */
function rank(trade: Trade): number {
  if (trade.entry_leverage === LEAD_LEVERAGE) return -1;
  return trade.label === null ? (ORDER[trade.status] ?? 4) : 0;
}

export function twinOf(trade: Trade | null, twins: readonly Trade[] | null): Trade | null {
  if (!trade || !twins) return null;
  return twins.find((each) => each.trade_id === trade.twin_trade_id || each.twin_trade_id === trade.trade_id) ?? null;
}

export function useChosen(): Chosen {
  const demo = useDemo((state) => state.demo);
  const accounts = useAccounts((state) => state.items);
  const byAccount = useTrades((state) => state.byAccount);
  const chosenTradeId = useView((state) => state.chosenTradeId);
  const selectedId = useView((state) => state.accountId);
  const selectAccount = useView((state) => state.selectAccount);
  const find = (id: string | null | undefined): Account | null => accounts?.find((each) => each.exchange_account_id === id) ?? null;
  const selected = find(selectedId) ?? find(demo?.guarded_account_id) ?? accounts?.find((each) => each.is_guarded) ?? accounts?.[0] ?? null;
  const other = find(selected?.compares_with);
  const isTwinSelected = selected !== null && other !== null && !selected.is_guarded && other.is_guarded;
  const account = isTwinSelected ? other : selected;
  const twinAccount = isTwinSelected ? selected : other;
  const held = account ? byAccount[account.exchange_account_id] : undefined;
  const trades = arrange(held?.items);
  const twinTrades = twinAccount ? arrange(byAccount[twinAccount.exchange_account_id]?.items) : null;
  const lead = trades?.find((trade) => trade.entry_leverage === LEAD_LEVERAGE) ?? trades?.[0] ?? null;
  const chosen = trades?.find((trade) => trade.trade_id === chosenTradeId) ?? lead;
  return {
    account,
    twinAccount,
    trades,
    twinTrades,
    receivedAt: held?.receivedAt ?? 0,
    chosen,
    chosenTwin: twinOf(chosen, twinTrades),
    lead,
    leadTwin: twinOf(lead, twinTrades),
    select: (next) => selectAccount(next.exchange_account_id, next.is_guarded ? 'guarded' : 'unguarded'),
  };
}

/** Joins the stream to the stores: one topic, one store. */
import { z } from 'zod';
import { call, streamTicket } from '@/api/client';
import {
  Account,
  AccountList,
  Activity,
  ActivityPage,
  Candle,
  Candles,
  CoverageOverview,
  Demo,
  Price,
  TradeList,
  Watches,
} from '@/api/schema';
import { monotonicNow } from '@/lib/clock';
import { StreamSocket, type SocketLike, type StreamFrame } from '@/lib/socket';
import { useAccounts } from '@/stores/accounts';
import { useActivity } from '@/stores/activity';
import { useCandles } from '@/stores/candles';
import { useCoverage } from '@/stores/coverage';
import { useConnection } from '@/stores/connection';
import { useDemo } from '@/stores/demo';
import { useFates } from '@/stores/fates';
import { useSession } from '@/stores/session';
import { useMarket } from '@/stores/market';
import { useTrades } from '@/stores/trades';

const READ_AGAIN_MS = 5_000;
const TradesTopic = /^account\.(.+)\.trades$/;
const AccountTopic = /^account\.([^.]+)$/;

/** Takes a frame's data when it has the agreed shape; anything else is reported once and left out. */
function take<S extends z.ZodType>(schema: S, frame: StreamFrame, accept: (data: z.infer<S>) => void): void {
  const parsed = schema.safeParse(frame.data);
  if (parsed.success) accept(parsed.data);
  else console.error('stream_frame_unreadable', frame.topic, parsed.error.issues);
}

export function routeFrame(frame: StreamFrame): void {
  useConnection.setState({ lastFrameAt: monotonicNow() });
  const trades = TradesTopic.exec(frame.topic);
  const account = AccountTopic.exec(frame.topic);
  if (frame.topic === 'market.price') take(Price, frame, useMarket.getState().accept);
  else if (frame.topic === 'market.candle.1s') take(z.union([Candle, z.object({ items: z.array(Candle) })]), frame, acceptCandle);
  else if (frame.topic === 'activity') take(z.union([Activity, z.object({ items: z.array(Activity) })]), frame, acceptActivity);
  else if (frame.topic === 'guard.status') take(Watches, frame, useAccounts.getState().acceptWatches);
  else if (frame.topic === 'guard.coverage') take(CoverageOverview, frame, useCoverage.getState().accept);
  else if (frame.topic === 'demo') take(Demo, frame, acceptDemo);
  else if (trades?.[1]) {
    const id = trades[1];
    take(TradeList, frame, ({ items }) => {
      useTrades.getState().accept(id, items);
      useFates.getState().sample(items, Date.parse(frame.at));
    });
  } else if (account) take(Account, frame, useAccounts.getState().accept);
}

function acceptCandle(data: Candle | { items: Candle[] }): void {
  if ('items' in data) useCandles.getState().fill(data.items);
  else useCandles.getState().accept(data);
}

function acceptActivity(data: Activity | { items: Activity[] }): void {
  if ('items' in data) useActivity.getState().fill(data.items);
  else useActivity.getState().accept(data);
}

/** A new run of the demo is a new story: charts, entries and lines of the old one leave the page. */
export function acceptDemo(demo: Demo): void {
  const before = useDemo.getState().demo;
  useDemo.getState().accept(demo);
  useFates.getState().startRun(`${demo.run_no}`);
  if (before && before.run_no !== demo.run_no) {
    useTrades.getState().reset();
    // A new run is a new market, whose price does not follow from the old one's.
    const newest = useMarket.getState().price;
    useCandles.getState().reset(newest ? Date.parse(newest.price_at) : 0);
    void loadCandles();
    void loadAccounts();
  }
}

export async function loadCandles(): Promise<void> {
  try {
    const page = await call('/candles?interval=1s&limit=500', { schema: Candles });
    useCandles.getState().fill(page.items);
  } catch {
    useCandles.getState().fail();
  }
}

export async function loadActivity(): Promise<void> {
  try {
    const page = await call('/activity?limit=100', { schema: ActivityPage });
    useActivity.getState().fill(page.items);
  } catch {
    useActivity.getState().fail();
  }
}

export async function loadAccounts(): Promise<void> {
  try {
    const { items } = await call('/accounts', { schema: AccountList });
    useAccounts.getState().fill(items);
    await Promise.all(items.map((account) => loadTrades(account.exchange_account_id)));
  } catch {
    useAccounts.getState().fail();
  }
}

export async function loadCoverage(): Promise<void> {
  try {
    useCoverage.getState().accept(await call('/guard/coverage', { schema: CoverageOverview }));
  } catch {
    useCoverage.getState().fail();
  }
}

async function loadTrades(accountId: string): Promise<void> {
  const { items } = await call(`/accounts/${accountId}/trades?state=all`, { schema: TradeList });
  useTrades.getState().accept(accountId, items);
}

export async function loadDemo(): Promise<void> {
  acceptDemo(await call('/demo', { schema: Demo }));
}

/** Reads once more what could not be read; reading changes nothing, so it may be repeated. */
function readWhatFailed(): void {
  if (useAccounts.getState().failed) void loadAccounts();
  if (useCandles.getState().status === 'failed') void loadCandles();
  if (useActivity.getState().status === 'failed') void loadActivity();
  if (useCoverage.getState().failed) void loadCoverage();
  if (useDemo.getState().demo === null && useSession.getState().user?.is_demo) loadDemo().catch(reportDemo);
}

export function reportDemo(error: unknown): void {
  console.error('demo_unreadable', error);
}

/** Starts the stream and the first reading of everything; returns what stops it. */
export function startStream(): () => void {
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/stream`;
  const socket = new StreamSocket({
    ticket: streamTicket,
    open: (ticket) => new WebSocket(`${url}?ticket=${encodeURIComponent(ticket)}`) as SocketLike,
    onFrame: routeFrame,
    onGap: (topic) => {
      if (topic === 'activity') void loadActivity();
      if (topic === 'market.candle.1s') void loadCandles();
    },
    onStatus: (status) => {
      useConnection.setState({ status });
      if (status.kind === 'open' && useAccounts.getState().items === null) void loadAccounts();
    },
    isOnline: () => navigator.onLine,
  });
  const retopic = (): void => {
    const accounts = useAccounts.getState().items ?? [];
    const own = accounts.flatMap(({ exchange_account_id: id }) => [`account.${id}`, `account.${id}.trades`]);
    socket.setTopics(['market.price', 'market.candle.1s', 'activity', 'guard.status', 'guard.coverage', 'demo', ...own]);
  };
  retopic();
  const unsubscribe = useAccounts.subscribe((state, before) => {
    if (state.items !== before.items) retopic();
  });
  socket.start();
  const again = setInterval(readWhatFailed, READ_AGAIN_MS);
  void Promise.all([loadAccounts(), loadCandles(), loadActivity(), loadCoverage()]);
  return () => {
    unsubscribe();
    clearInterval(again);
    socket.stop();
  };
}

/** The fixture's answers, route by route, in the shapes of the contract. */
import type { Request } from '@/api/schema';
import { guardAnswer } from '../guard/answers';
import type { FixtureTrade } from '../story/plan';
import { liquidationPrice } from '../story/maths';
import { GUARDED, UNGUARDED, type World } from '../story/world';
import type { Hub } from './hub';

export interface Answer {
  status: number;
  body: unknown;
}
export interface Question {
  world: World;
  hub: Hub;
  method: string;
  url: URL;
  body: unknown;
}
type Handler = (question: Question, ids: string[]) => unknown;

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const requests = new Map<string, Request>();
const session = (): unknown => ({
  access_token: 'fixture',
  expires_at: new Date(Date.now() + 600_000).toISOString(),
  user: { user_id: 'u-1', email: null, display_name: 'Demo', role: 'owner', permissions: ['accounts.view', 'guard.change', 'trade'], locale: 'en', is_demo: true },
});

function find(world: World, ids: string[]): FixtureTrade {
  const trade = world.trades.find((each) => each.account === ids[0] && each.id === ids[1]);
  if (!trade) throw new Refusal(404, 'not_found', 'No such trade.');
  return trade;
}

function record(command: string, status: Request['status'], detail: string | null): Request {
  const at = new Date().toISOString();
  const request = { request_id: `r-${requests.size + 1}`, command, status, detail, created_at: at, settled_at: at };
  requests.set(request.request_id, request);
  return request;
}

function stop(question: Question, isStopped: boolean): unknown {
  const { world } = question;
  const scope = question.body as { exchange_account_id?: string; trade_id?: string };
  const key = scope.trade_id ?? scope.exchange_account_id ?? 'all';
  if (isStopped) world.isSpendingStopped.add(key);
  else world.isSpendingStopped.clear();
  world.tell(null, 'info', isStopped ? 'spending_stopped' : 'spending_resumed', { scope: scope.trade_id ? 'trade' : scope.exchange_account_id ? 'account' : 'all' });
  if (!isStopped) return { resumed: [], still_stopped: [] };
  return { stopped: [{ exchange_account_id: scope.exchange_account_id ?? GUARDED, trade_id: scope.trade_id ?? null }], already_sent: [] };
}

const routes: readonly [string, RegExp, Handler][] = [
  ['POST', /^\/auth\/(?:start|login|refresh)$/, ({ hub }) => {
    if (hub.faults.has('signed_out')) throw new Refusal(401, 'not_authenticated', 'Nobody is signed in.');
    return session();
  }],
  ['POST', /^\/auth\/logout$/, () => ({})],
  ['GET', /^\/instance$/, () => ({ version: '0.1.0', mode: 'demo', network: 'paper', locales: ['en', 'pt-BR'] })],
  ['POST', /^\/stream\/ticket$/, () => ({ ticket: 't', expires_at: new Date(Date.now() + 30_000).toISOString() })],
  ['GET', /^\/demo$/, ({ world }) => world.demo()],
  ['POST', /^\/demo\/play-again$/, ({ world, body }) => {
    world.runNo += 1;
    world.scenario = (body as { scenario?: string }).scenario === 'bleed' ? 'bleed' : 'crash';
    world.begin(Date.now());
    return world.demo();
  }],
  ['POST', /^\/demo\/speed$/, ({ world, body }) => ((world.speed = (body as { speed: number }).speed), world.demo())],
  ['POST', /^\/demo\/pause$/, ({ world }) => ((world.status = 'paused'), world.demo())],
  ['POST', /^\/demo\/resume$/, ({ world }) => ((world.status = 'running'), world.demo())],
  ['POST', /^\/demo\/pull-the-plug$/, ({ world, body }) => ((world.plugPulledFor = (body as { seconds?: number }).seconds ?? 20), world.demo())],
  ['GET', /^\/accounts$/, ({ world }) => ({ items: [world.account(GUARDED), world.account(UNGUARDED)] })],
  ['GET', /^\/accounts\/([^/]+)\/trades$/, ({ world }, [id = '']) => ({ items: world.tradesOf(id) })],
  ['POST', /^\/accounts\/([^/]+)\/trades\/([^/]+)\/close$/, ({ world }, ids) => {
    find(world, ids).closed = { price: world.price, at: world.seconds, reason: 'user' };
    return record('close', 'confirmed', null);
  }],
  ['POST', /^\/accounts\/([^/]+)\/trades\/([^/]+)\/add-margin$/, ({ world, body }, ids) => {
    const trade = find(world, ids);
    trade.margin += (body as { amount_sats: number }).amount_sats;
    trade.liquidation = liquidationPrice(trade.quantity, trade.entry, trade.margin);
    return record('add_margin', 'confirmed', null);
  }],
  ['GET', /^\/requests\/([^/]+)$/, (_, [id = '']) => requests.get(id)],
  ['POST', /^\/guard\/stop-spending$/, (question) => stop(question, true)],
  ['POST', /^\/guard\/resume-spending$/, (question) => stop(question, false)],
  ['GET', /^\/activity$/, ({ world }) => ({ items: world.activity, next_cursor: null })],
  ['GET', /^\/decisions\/[^/]+\/([^/]+)$/, ({ world }, [id = '']) => world.decisions.get(id)],
  ['GET', /^\/candles$/, ({ world }) => ({ interval: '1s', items: world.candles, next_before: null })],
];

function control({ world, hub, url }: Question): unknown {
  const to = url.searchParams.get('jump');
  if (to !== null) {
    world.scenario = url.searchParams.get('scenario') === 'bleed' ? 'bleed' : 'crash';
    world.runNo += 1;
    world.begin(Date.now() - (Number(to) + 2) * 1000);
    const { speed } = world;
    world.speed = 1;
    world.advance(Number(to) + 2);
    world.speed = speed;
  }
  const speed = url.searchParams.get('speed');
  world.speed = speed === null ? 1 : Number(speed);
  const hold = url.searchParams.get('hold');
  hub.holdAt = hold === null ? null : Number(hold);
  hub.isFrozen = url.searchParams.get('freeze') === '1';
  hub.faults.clear();
  for (const fault of url.searchParams.getAll('fault')) hub.faults.add(fault);
  if (hub.faults.has('plug')) {
    world.plugPulledFor = 60;
    world.unwatchedFor = 4;
  }
  hub.drop();
  return world.demo();
}

export function answer(question: Question): Answer {
  const { url, method, hub } = question;
  if (url.pathname.startsWith('/__fixture/')) return { status: 200, body: control(question) };
  const path = url.pathname.replace('/api/v1', '');
  try {
    if (hub.faults.has('error') && /^\/(accounts|candles|activity|guard)/.test(path)) throw new Refusal(503, 'database_away', 'The database does not answer.');
    for (const [verb, pattern, handler] of routes) {
      const match = pattern.exec(path);
      if (verb !== method || !match) continue;
      const body = handler(question, match.slice(1));
      if (body === undefined) throw new Refusal(404, 'not_found', 'Nothing here.');
      return { status: 200, body };
    }
    const guard = guardAnswer({ world: question.world, method, path, search: url.searchParams, body: question.body });
    if (guard !== undefined) return guard;
    throw new Refusal(404, 'not_found', 'No such route.');
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { status: error.status, body: { type: 'about:blank', title: error.code, status: error.status, detail: error.message, code: error.code } };
  }
}

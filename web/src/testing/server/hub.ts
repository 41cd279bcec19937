/** The fixture's stream: numbered frames per topic, snapshots on subscribing. */
import type { WebSocket } from 'ws';
import { overviewOf } from '../guard/coverage';
import { GUARDED, UNGUARDED, type World } from '../story/world';

interface Command {
  op: string;
  topics?: string[];
}

export class Hub {
  readonly faults = new Set<string>();
  private readonly clients = new Map<WebSocket, Set<string>>();
  private readonly seq = new Map<string, number>();
  private readonly world: World;
  private timer: ReturnType<typeof setInterval> | null = null;
  private barsFrom = 0;
  isFrozen = false;
  /** The story stands still from this second on. */
  holdAt: number | null = null;

  constructor(world: World) {
    this.world = world;
    world.onActivity = (item) => this.publish('activity', item);
  }

  run(): void {
    let before = Date.now();
    this.timer = setInterval(() => {
      const now = Date.now();
      if (!this.isFrozen && (this.holdAt === null || this.world.seconds < this.holdAt)) this.world.advance((now - before) / 1000);
      before = now;
      for (const bar of this.world.candles.filter((each) => Date.parse(each.at) >= this.barsFrom)) this.publish('market.candle.1s', bar);
      this.barsFrom = Date.parse(this.world.candles.at(-1)?.at ?? '');
      for (const topic of ['market.price', 'guard.status', 'guard.coverage', 'demo', ...this.accountTopics()]) {
        if (this.faults.has('stale') && topic === 'market.price') continue;
        this.publish(topic, this.data(topic));
      }
    }, 200);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    for (const client of this.clients.keys()) client.terminate();
  }

  add(client: WebSocket): void {
    this.clients.set(client, new Set());
    client.on('close', () => this.clients.delete(client));
    client.on('message', (raw: Buffer) => {
      const command = JSON.parse(raw.toString('utf8')) as Command;
      const topics = this.clients.get(client);
      if (command.op === 'ping') client.send(JSON.stringify({ op: 'pong' }));
      for (const topic of command.topics ?? []) {
        if (command.op === 'unsubscribe') topics?.delete(topic);
        else {
          topics?.add(topic);
          if (topic !== 'activity') this.sendTo(client, topic, this.data(topic), true);
        }
      }
    });
  }

  drop(): void {
    for (const client of this.clients.keys()) client.terminate();
  }

  private accountTopics(): string[] {
    return [GUARDED, UNGUARDED].flatMap((id) => [`account.${id}`, `account.${id}.trades`]);
  }

  private data(topic: string): unknown {
    const { world } = this;
    if (topic === 'market.price') return world.marketPrice(Date.now());
    if (topic === 'market.candle.1s') return world.candles.at(-1);
    if (topic === 'guard.status') return { [GUARDED]: world.watch(GUARDED), [UNGUARDED]: world.watch(UNGUARDED) };
    if (topic === 'guard.coverage') return overviewOf(world);
    if (topic === 'demo') return world.demo();
    const [, id = '', rest] = topic.split('.');
    return rest === 'trades' ? { items: world.tradesOf(id) } : world.account(id);
  }

  private publish(topic: string, data: unknown): void {
    this.seq.set(topic, (this.seq.get(topic) ?? 0) + 1);
    for (const [client, topics] of this.clients) if (topics.has(topic)) this.sendTo(client, topic, data, false);
  }

  private sendTo(client: WebSocket, topic: string, data: unknown, isSnapshot: boolean): void {
    const frame = { topic, seq: this.seq.get(topic) ?? 0, at: this.world.iso(this.world.seconds), data };
    client.send(JSON.stringify(isSnapshot ? { ...frame, snapshot: true } : frame));
  }
}

/** One WebSocket to the stream: ticket, topics, resume after a break, back-off, notice of a silent line. */
import { Frame } from '@/api/schema';

export type StreamStatus =
  | { kind: 'connecting' }
  | { kind: 'open' }
  | { kind: 'waiting'; retryInMs: number; attempt: number }
  | { kind: 'offline' }
  | { kind: 'stopped' };

export interface StreamFrame {
  topic: string;
  seq: number;
  at: string;
  data: unknown;
  isSnapshot: boolean;
}

/** The part of WebSocket that is used, so that tests bring their own. */
export interface SocketLike {
  readyState: number;
  send(data: string): void;
  close(code?: number): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

export interface StreamOptions {
  ticket: () => Promise<string>;
  open: (ticket: string) => SocketLike;
  onFrame: (frame: StreamFrame) => void;
  onStatus: (status: StreamStatus) => void;
  /** Numbers of a topic were jumped over while connected. */
  onGap: (topic: string) => void;
  isOnline?: () => boolean;
  random?: () => number;
}

const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;
const OPEN_DEADLINE_MS = 8_000;
const PING_AFTER_MS = 4_000;
const SILENT_AFTER_MS = 9_000;
const SOCKET_OPEN = 1;

/** Delay before reconnect number `attempt` (from 0): doubling, capped, with half of it random. */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(attempt, 10));
  return Math.round(full / 2 + (full / 2) * random);
}

export class StreamSocket {
  private readonly options: StreamOptions;
  private readonly topics = new Set<string>();
  private readonly lastSeq = new Map<string, number>();
  private socket: SocketLike | null = null;
  private generation = 0;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private quietTimer: ReturnType<typeof setTimeout> | null = null;
  private isRunning = false;

  constructor(options: StreamOptions) {
    this.options = options;
  }

  start(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    globalThis.addEventListener('online', this.onOnline);
    globalThis.addEventListener('offline', this.onOffline);
    this.connect();
  }

  stop(): void {
    this.isRunning = false;
    globalThis.removeEventListener('online', this.onOnline);
    globalThis.removeEventListener('offline', this.onOffline);
    this.drop();
    this.options.onStatus({ kind: 'stopped' });
  }

  /** Makes the set of topics exactly `wanted`; numbers of topics left are forgotten. */
  setTopics(wanted: readonly string[]): void {
    const added = wanted.filter((topic) => !this.topics.has(topic));
    const removed = [...this.topics].filter((topic) => !wanted.includes(topic));
    for (const topic of removed) {
      this.topics.delete(topic);
      this.lastSeq.delete(topic);
    }
    for (const topic of added) this.topics.add(topic);
    if (removed.length > 0) this.send({ op: 'unsubscribe', topics: removed });
    if (added.length > 0) this.send({ op: 'subscribe', topics: added, since: {} });
  }

  private readonly onOnline = (): void => {
    this.attempt = 0;
    this.drop();
    this.connect();
  };

  private readonly onOffline = (): void => {
    this.drop();
    this.options.onStatus({ kind: 'offline' });
  };

  private send(message: object): void {
    if (this.socket?.readyState === SOCKET_OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Closes the present socket and every timer; late events of it are ignored by generation. */
  private drop(): void {
    this.generation += 1;
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.quietTimer !== null) clearTimeout(this.quietTimer);
    this.timer = null;
    this.quietTimer = null;
    this.socket?.close();
    this.socket = null;
  }

  private connect(): void {
    if (!this.isRunning) return;
    if (this.options.isOnline?.() === false) {
      this.options.onStatus({ kind: 'offline' });
      return;
    }
    this.drop();
    const generation = this.generation;
    this.options.onStatus({ kind: 'connecting' });
    this.timer = setTimeout(() => this.retry(generation), OPEN_DEADLINE_MS);
    this.options.ticket().then(
      (ticket) => {
        if (generation === this.generation) this.attach(this.options.open(ticket), generation);
      },
      () => this.retry(generation),
    );
  }

  private attach(socket: SocketLike, generation: number): void {
    this.socket = socket;
    socket.onopen = () => {
      if (generation !== this.generation) return;
      if (this.timer !== null) clearTimeout(this.timer);
      this.send({ op: 'subscribe', topics: [...this.topics], since: Object.fromEntries(this.lastSeq) });
      this.options.onStatus({ kind: 'open' });
      this.listenForSilence(generation);
    };
    socket.onmessage = (event) => {
      if (generation !== this.generation) return;
      this.listenForSilence(generation);
      this.receive(event.data);
    };
    socket.onclose = () => this.retry(generation);
    socket.onerror = () => this.retry(generation);
  }

  private receive(raw: unknown): void {
    if (typeof raw !== 'string') return;
    const parsed = Frame.safeParse(JSON.parse(raw));
    if (!parsed.success || 'op' in parsed.data) return;
    this.attempt = 0;
    const { topic, seq, at, data, snapshot } = parsed.data;
    if (!this.topics.has(topic)) return;
    const isSnapshot = snapshot ?? false;
    const last = this.lastSeq.get(topic);
    if (!isSnapshot && last !== undefined) {
      if (seq <= last) return;
      // Figures are conflated for slow readers, so a jump is usual there; the listener knows which topics it may not miss.
      if (seq > last + 1) this.options.onGap(topic);
    }
    this.lastSeq.set(topic, seq);
    this.options.onFrame({ topic, seq, at, data, isSnapshot });
  }

  private listenForSilence(generation: number): void {
    if (this.quietTimer !== null) clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => {
      this.send({ op: 'ping' });
      this.quietTimer = setTimeout(() => this.retry(generation), SILENT_AFTER_MS - PING_AFTER_MS);
    }, PING_AFTER_MS);
  }

  private retry(generation: number): void {
    if (generation !== this.generation || !this.isRunning) return;
    this.drop();
    const wait = backoffMs(this.attempt, (this.options.random ?? Math.random)());
    this.attempt += 1;
    this.options.onStatus({ kind: 'waiting', retryInMs: wait, attempt: this.attempt });
    this.timer = setTimeout(() => this.connect(), wait);
  }
}

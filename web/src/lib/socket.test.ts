import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { StreamSocket, backoffMs, type SocketLike, type StreamFrame, type StreamStatus } from './socket';

class FakeSocket implements SocketLike {
  readyState = 0;
  sent: { op: string; topics?: string[]; since?: Record<string, number> }[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  send(data: string): void {
    this.sent.push(JSON.parse(data) as FakeSocket['sent'][number]);
  }
  close(): void {
    this.readyState = 3;
  }
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  frame(topic: string, seq: number, snapshot?: boolean): void {
    const at = '2026-11-23T02:11:07.000Z';
    this.onmessage?.({ data: JSON.stringify({ topic, seq, at, data: { seq }, ...(snapshot ? { snapshot } : {}) }) });
  }
}

let sockets: FakeSocket[];
let frames: StreamFrame[];
let statuses: StreamStatus[];
let gaps: string[];
let tickets: number;
let stream: StreamSocket;

function last(): FakeSocket {
  return sockets.at(-1)!;
}

beforeEach(async () => {
  vi.useFakeTimers();
  sockets = [];
  frames = [];
  statuses = [];
  gaps = [];
  tickets = 0;
  stream = new StreamSocket({
    ticket: () => {
      tickets += 1;
      return Promise.resolve(`ticket-${tickets}`);
    },
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    onFrame: (frame) => frames.push(frame),
    onStatus: (status) => statuses.push(status),
    onGap: (topic) => gaps.push(topic),
    random: () => 1,
  });
  stream.setTopics(['activity', 'demo']);
  stream.start();
  await vi.advanceTimersByTimeAsync(0);
});

afterEach(() => {
  stream.stop();
  vi.useRealTimers();
});

describe('the stream', () => {
  test('asks a ticket and subscribes to its topics once open', () => {
    last().open();
    expect(tickets).toBe(1);
    expect(last().sent).toEqual([{ op: 'subscribe', topics: ['activity', 'demo'], since: {} }]);
    expect(statuses.at(-1)).toEqual({ kind: 'open' });
  });

  test('passes frames on in order and drops what was seen before', () => {
    last().open();
    last().frame('activity', 4, true);
    last().frame('activity', 5);
    last().frame('activity', 5);
    last().frame('activity', 3);
    expect(frames.map((frame) => frame.seq)).toEqual([4, 5]);
  });

  test('tells of numbers that were jumped over and goes on', () => {
    last().open();
    last().frame('activity', 1, true);
    last().frame('activity', 4);
    expect(gaps).toEqual(['activity']);
    expect(frames.map((frame) => frame.seq)).toEqual([1, 4]);
  });

  test('takes a snapshot as a new beginning, whatever its number', () => {
    last().open();
    last().frame('activity', 900, true);
    last().frame('activity', 12, true);
    last().frame('activity', 13);
    expect(frames.map((frame) => [frame.seq, frame.isSnapshot])).toEqual([[900, true], [12, true], [13, false]]);
    expect(gaps).toEqual([]);
  });

  test('reconnects with a new ticket and resumes after the last number', async () => {
    last().open();
    last().frame('activity', 7, true);
    last().onclose?.();
    expect(statuses.at(-1)).toEqual({ kind: 'waiting', retryInMs: 250, attempt: 1 });
    await vi.advanceTimersByTimeAsync(250);
    last().open();
    expect(tickets).toBe(2);
    expect(last().sent[0]?.since).toEqual({ activity: 7 });
  });

  test('waits longer after each failure, up to ten seconds', () => {
    expect([0, 1, 2, 10].map((attempt) => backoffMs(attempt, 1))).toEqual([250, 500, 1000, 10_000]);
    expect(backoffMs(2, 0)).toBe(500);
  });

  test('pings a silent line and leaves it when nothing comes back', async () => {
    last().open();
    const first = last();
    await vi.advanceTimersByTimeAsync(4_000);
    expect(first.sent.at(-1)).toEqual({ op: 'ping' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(first.readyState).toBe(3);
    expect(statuses.some((status) => status.kind === 'waiting')).toBe(true);
  });

  test('says offline when the device is, and reconnects at once when it is back', async () => {
    last().open();
    dispatchEvent(new Event('offline'));
    expect(statuses.at(-1)).toEqual({ kind: 'offline' });
    dispatchEvent(new Event('online'));
    await vi.advanceTimersByTimeAsync(0);
    expect(sockets).toHaveLength(2);
  });

  test('unsubscribes from topics that are no longer wanted and forgets their numbers', () => {
    last().open();
    last().frame('demo', 3, true);
    stream.setTopics(['activity', 'account.a']);
    expect(last().sent.slice(1)).toEqual([
      { op: 'unsubscribe', topics: ['demo'] },
      { op: 'subscribe', topics: ['account.a'], since: {} },
    ]);
    last().frame('demo', 4);
    expect(frames).toHaveLength(1);
  });

  test('does nothing after it was stopped', async () => {
    last().open();
    stream.stop();
    last().frame('activity', 1, true);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(frames).toHaveLength(0);
    expect(sockets).toHaveLength(1);
  });
});

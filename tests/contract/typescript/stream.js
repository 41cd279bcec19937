// Every call and every topic of the stream, and what a client does when its connection ends.
import { control, expect, part, until, watched } from './exchange.js'

/** What a topic with kinds of events is heard to say while the REST calls are walked through. */
const KINDS = {
  'futures/inverse/btc_usd/isolated/trades': [
    'open', 'filled', 'closed', 'canceled', 'liquidation', 'stoploss', 'takeprofit', 'funding',
  ],
  'futures/inverse/btc_usd/cross/orders': ['new', 'limit', 'canceled'],
  'futures/inverse/btc_usd/cross/position': [
    'new', 'limit', 'cancel', 'leverage', 'deposit', 'withdraw', 'liquidation', 'funding',
  ],
}

/**
 * Returns what was heard on each topic: the kinds of events, or the members' names where there are no kinds.
 * @param {import('./exchange.js').Given} given
 * @param {import('./exchange.js').Watch} watch
 * @param {() => Promise<void>} meanwhile what causes the events
 * @returns {Promise<Map<string, Set<string>>>}
 */
export async function walkStream(given, watch, meanwhile) {
  const { createStreamClient, StreamRpcError } = await import('@ln-markets/sdk/stream/v1')
  /** @typedef {import('@ln-markets/sdk/stream/v1').Topic} Topic */
  const socket = createStreamClient({ network: 'signet', reconnectInterval: 20 })
  const stream = watched(
    {
      hello: socket.hello,
      ping: socket.ping,
      time: socket.time,
      authenticate: socket.authenticate,
      whoami: socket.whoami,
      subscribe: socket.subscribe,
      unsubscribe: socket.unsubscribe,
      unsubscribeAll: socket.unsubscribeAll,
    },
    'stream',
    watch
  )
  socket.on('error', (error) => watch.problems.push(`stream: ${error.message}`))
  const topics = /** @type {Topic[]} */ (watch.shapes.members('topics'))
  /** @type {Map<string, Set<string>>} */
  const heard = new Map()
  for (const topic of topics) {
    socket.on(topic, (/** @type {any} */ data) => {
      watch.problems.push(...watch.shapes.problemsOfValue(`topics.${topic}`, data))
      const kinds = heard.get(topic) ?? new Set()
      heard.set(topic, kinds.add(data.event ?? 'frame'))
    })
  }

  await part(watch, 'the stream', async () => {
    await socket.connect()
    expect(watch, 'the protocol', (await stream.hello({ clientName: 'walk', clientVersion: '1' })).version, '1.0.0')
    expect(watch, 'ping', await stream.ping(), 'pong')
    expect(watch, 'the clock is ours', Math.abs((await stream.time()).time - Date.now()) < 5_000, true)
    await refused(watch, StreamRpcError, 'whoami before authenticating', () => stream.whoami())
    await refused(watch, StreamRpcError, 'a private topic before authenticating', () =>
      stream.subscribe({ topics: ['wallet/deposit'] })
    )
    await everything()
  })
  await part(watch, 'announcements', () => announce(given))
  await meanwhile()
  await part(watch, 'what was heard', async () => {
    const missing = () =>
      Object.entries(KINDS).flatMap(([topic, kinds]) => kinds.filter((kind) => !heard.get(topic)?.has(kind)))
    try {
      await until(() => topics.every((topic) => heard.has(topic)) && missing().length === 0, 'everything was heard')
    } catch {
      watch.problems.push(...missing().map((kind) => `no event ${kind} was heard`))
    }
    const [first = 'announcements', ...others] = topics
    expect(watch, 'unsubscribe', (await stream.unsubscribe({ topics: [first] })).unsubscribed, [first])
    expect(watch, 'unsubscribeAll', [...(await stream.unsubscribeAll()).unsubscribed].sort(), [...others].sort())

  })
  await part(watch, 'coming back', async () => {
    // The exchange closes the connection: the SDK comes back by itself, with nothing left of what it had asked for.
    const back = new Promise((resolve) => socket.once('reconnected', resolve))
    await control(given, 'POST', '/faults', { kind: 'close_stream', status: 1012 })
    expect(watch, 'attempts until the stream is back', await back, { attempts: 1 })
    await refused(watch, StreamRpcError, 'whoami on a new connection', () => stream.whoami())
    heard.delete('futures/inverse/btc_usd/lastPrice')
    await everything()
    await until(() => heard.has('futures/inverse/btc_usd/lastPrice'), 'prices are heard again')
  })
  socket.close()
  return heard

  async function everything() {
    expect(watch, 'authenticated', (await stream.authenticate(given.keys)).authenticated, true)
    expect(watch, 'whose key', (await stream.whoami()).userId, given.account_id)
    expect(watch, 'what is subscribed', (await stream.subscribe({ topics })).subscribed, topics)
  }
}

/** @param {import('./exchange.js').Given} given */
async function announce(given) {
  await control(given, 'POST', '/announcements', { title: 'Walk', message: 'An announcement for the walk' })
}

/**
 * @param {import('./exchange.js').Watch} watch
 * @param {new (...args: any[]) => Error} kind
 * @param {string} what
 * @param {() => Promise<unknown>} call
 */
async function refused(watch, kind, what, call) {
  try {
    await call()
    watch.problems.push(`${what} was not refused`)
  } catch (error) {
    expect(watch, `${what} is refused by the exchange`, error instanceof kind, true)
  }
}

// Walks everything the official SDKs can do, on a paper exchange whose price moves by hand, and compares every answer
// and every event with the types that the SDKs declare. Reads what it needs as JSON on standard input; prints what it
// found as JSON on standard output, and ends with 1 when something was not as promised.
import { readFileSync } from 'node:fs'

import { redirectTo } from './redirect.js'
import { Shapes } from './shapes.js'
import { walkRest } from './rest.js'
import { walkStream } from './stream.js'

/** @type {import('./exchange.js').Given} */
const given = JSON.parse(readFileSync(0, 'utf8'))
redirectTo(given)
process.env['V3_API_URL'] = given.rest_url // the one address that SDK 1.2.5 reads from the environment

const shapes = new Shapes(['walk.js', 'rest.js', 'stream.js', 'exchange.js', 'redirect.js', 'shapes.js'])
/** @type {string[]} */
const problems = shapes.mistakes()
problems.push(...mistakesOfTheJudge())
/** @type {Set<string>} */
const called = new Set()
const heard = await walkStream(given, { shapes, problems, called }, () =>
  walkRest(given, { shapes, problems, called })
)

// SDK 1.2.5 is there for what the newest one has dropped: its other calls are the same.
const internal = ['getInternalDeposits', 'getInternalWithdrawals', 'withdrawInternal']
const promised = [...shapes.calls('rest'), ...shapes.calls('stream'), ...internal.map((name) => `rest1.account.${name}`)]
problems.push(...promised.filter((call) => !called.has(call)).map((call) => `${call} was not called`))
problems.push(
  ...shapes.members('topics').filter((topic) => !heard.has(topic)).map((topic) => `nothing was heard on ${topic}`)
)
const unique = [...new Set(problems)]
process.stdout.write(
  JSON.stringify({
    called: [...called],
    heard: Object.fromEntries([...heard].map(([topic, kinds]) => [topic, [...kinds]])),
    problems: unique,
  })
)
process.exitCode = unique.length > 0 ? 1 : 0

/** Plants wrong answers: the comparison with the declarations must object to each, and to nothing else. */
function mistakesOfTheJudge() {
  const good = { askPrice: 62_000.5, bidPrice: 61_999.5 }
  const page = { data: [], nextCursor: null }
  const order = { id: 'x' }
  /** @type {[string, unknown, number][]} */
  const cases = [
    ['rest.syntheticUsd.getBestPrice', { ...good, more: 1 }, 0],
    ['rest.syntheticUsd.getBestPrice', { askPrice: 62_000.5 }, 1],
    ['rest.syntheticUsd.getBestPrice', { ...good, bidPrice: '61999.5' }, 1],
    ['rest.syntheticUsd.getBestPrice', null, 1],
    ['rest.ping', 'pang', 1],
    ['rest.time', { time: '2026-08-20T12:00:00Z' }, 1],
    ['rest.futures.getCandles', page, 0],
    ['rest.futures.getCandles', { ...page, nextCursor: 1 }, 1],
    ['rest.futures.cross.getOpenOrders', order, 1],
    ['rest.account.get', { ...order, balance: 1, email: null, feeTier: 0, linkingPublicKey: null, username: 'a' }, 2],
  ]
  return cases
    .filter(([call, answer, count]) => shapes.problemsOfAnswer(call, answer).length !== count)
    .map(([call, answer]) => `the comparison misjudges ${call} ${JSON.stringify(answer)}`)
}

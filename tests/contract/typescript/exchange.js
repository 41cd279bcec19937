// What the walk is given, how it moves the market, and how it watches over the SDK's calls.
import { isDeepStrictEqual } from 'node:util'

/**
 * @typedef {object} Given
 * @property {string} rest_url
 * @property {string} stream_url
 * @property {string} control_url
 * @property {string} control_token
 * @property {string} account_id
 * @property {string} other_username
 * @property {string} address an address of the exchange's network
 * @property {{ key: string, secret: string, passphrase: string }} keys
 */

/**
 * @typedef {object} Watch
 * @property {import('./shapes.js').Shapes} shapes
 * @property {string[]} problems
 * @property {Set<string>} called
 */

/** Calls whose declaration is a slip: an array is declared as one of its items. */
const DECLARED_AS_ONE_ITEM = new Set(['rest.futures.isolated.cancelAll'])

/**
 * Returns what the control interface answers.
 * @param {Given} given
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
export async function control(given, method, path, body) {
  const answer = await fetchControl(given.control_url + path, {
    method,
    headers: { authorization: `Bearer ${given.control_token}`, 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  })
  const data = await answer.json()
  if (!answer.ok) {
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(data)}`)
  }
  return data
}

const fetchControl = globalThis.fetch // taken before it is redirected

/**
 * Returns the same object; every call of it is compared with its declaration, and made again where the exchange asks
 * to wait (429: it was not processed).
 * @template {object} T
 * @param {T} target
 * @param {string} at
 * @param {Watch} watch
 * @returns {T}
 */
export function watched(target, at, watch) {
  return new Proxy(target, {
    get(owner, name) {
      const member = Reflect.get(owner, name)
      const path = `${at}.${String(name)}`
      if (typeof member === 'function') {
        return async (/** @type {unknown[]} */ ...args) => {
          const answer = await patiently(() => member.apply(owner, args))
          watch.called.add(path)
          const answers = DECLARED_AS_ONE_ITEM.has(path) && Array.isArray(answer) ? answer : [answer]
          watch.problems.push(...answers.flatMap((one) => watch.shapes.problemsOfAnswer(path, one)))
          return answer
        }
      }
      return typeof member === 'object' && member !== null ? watched(member, path, watch) : member
    },
  })
}

/** @param {() => Promise<unknown>} call */
async function patiently(call) {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      const response = /** @type {any} */ (error).response
      if (response?.status !== 429) {
        throw error
      }
      const seconds = Number(response.headers.get('retry-after'))
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    }
  }
}

/**
 * Notes where a value is not what it should be.
 * @param {Watch} watch
 * @param {string} what
 * @param {unknown} is
 * @param {unknown} should
 */
export function expect(watch, what, is, should) {
  if (!isDeepStrictEqual(is, should)) {
    watch.problems.push(`${what} is ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`)
  }
}

/**
 * Walks one part; where it breaks off is a problem, and the next part is walked all the same.
 * @param {Watch} watch
 * @param {string} name
 * @param {() => Promise<void>} walk
 */
export async function part(watch, name, walk) {
  try {
    await walk()
  } catch (error) {
    const { message, data, stack } = /** @type {any} */ (error)
    const place = String(stack).split('\n').find((line) => /(rest|stream)\.js/.test(line))?.trim() ?? ''
    watch.problems.push(`${name} broke off: ${message} ${data === undefined ? '' : JSON.stringify(data)} ${place}`)
  }
}

/**
 * Waits for something that the exchange does in its own time.
 * @param {() => boolean | Promise<boolean>} holds
 * @param {string} what
 * @param {number} withinMs
 */
export async function until(holds, what, withinMs = 5_000) {
  const ends = Date.now() + withinMs
  while (!(await holds())) {
    if (Date.now() > ends) {
      throw new Error(`not within ${withinMs} ms: ${what}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

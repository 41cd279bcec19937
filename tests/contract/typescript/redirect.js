// Sends what the SDK sends to signet to the paper exchange instead. Imported before the SDK; the SDK is not changed.
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'

/** @param {{ rest_url: string, stream_url: string }} paper */
export function redirectTo(paper) {
  const send = globalThis.fetch
  globalThis.fetch = (input, init) => {
    const request = new Request(input, init)
    return send(new Request(moved(request.url, 'https://api.signet.lnmarkets.com/v3', paper.rest_url), request))
  }
  const stream = new URL(paper.stream_url)
  // The package ws opens every wss:// address through this member.
  https.request = /** @type {any} */ (
    (/** @type {https.RequestOptions} */ options) => {
      if (options.host !== 'stream.signet.lnmarkets.com' || options.path !== stream.pathname) {
        throw new Error(`a connection to ${options.host}${options.path} would leave this machine`)
      }
      const { port, hostname: host } = stream
      return http.request({ ...options, host, port, createConnection: () => net.connect(Number(port), host) })
    }
  )
}

/**
 * @param {string} url
 * @param {string} from
 * @param {string} to
 */
function moved(url, from, to) {
  if (url.startsWith(to)) {
    return url
  }
  if (!url.startsWith(from)) {
    throw new Error(`a request to ${url} would leave this machine`)
  }
  return to + url.slice(from.length)
}

// Every REST call of both SDKs.
import { control, expect, part, until, watched } from './exchange.js'

const NOBODYS_ID = 'a6c4d2fa-8d5e-4a5b-9d0d-000000000001'

/**
 * @param {import('./exchange.js').Given} given
 * @param {import('./exchange.js').Watch} watch
 */
export async function walkRest(given, watch) {
  const { createHttpClient } = await import('@ln-markets/sdk/rest/v3')
  const client = watched(createHttpClient({ ...given.keys, network: 'signet' }), 'rest', watch)
  await part(watch, 'market data', () => walkMarket(given, client, watch))
  await part(watch, 'isolated trades', () => walkIsolated(given, client, watch))
  await part(watch, 'cross margin', () => walkCross(given, client, watch))
  await part(watch, 'wallet', () => walkWallet(given, client, watch))
  await part(watch, 'synthetic USD', () => walkSyntheticUsd(client, watch))
  await part(watch, 'oracle', () => walkOracle(client))
  await part(watch, 'errors', () => walkErrors(client, watch))
  await part(watch, 'internal transfers', () => walkInternalTransfers(given, watch))
}

/** @typedef {import('@ln-markets/sdk/rest/v3').HttpClient} Client */
/** @typedef {import('./exchange.js').Given} Given */
/** @typedef {import('./exchange.js').Watch} Watch */

/**
 * @param {Given} given
 * @param {number} usd
 */
const priceGoesTo = (given, usd) => control(given, 'POST', '/market/price', { last_price: usd })

/**
 * @param {Given} given
 * @param {Client} client
 * @param {Watch} watch
 */
async function walkMarket(given, client, watch) {
  expect(watch, 'ping', await client.ping(), 'pong')
  const drift = Date.parse((await client.time()).time) - Date.now()
  expect(watch, 'the clock is ours', Math.abs(drift) < 5_000, true)
  expect(watch, 'lastPrice', (await client.futures.getTicker()).lastPrice, 62_000)
  for (const rate of ['0.0001', '-0.0001', '0.0002']) {
    await control(given, 'POST', '/market/funding', { rate })
  }
  const newest = await client.futures.getFundingSettlements({ limit: 2 })
  expect(watch, 'a first page of settlements', newest.data.map((one) => one.fundingRate), [0.0002, -0.0001])
  const older = await client.futures.getFundingSettlements({ limit: 2, cursor: String(newest.nextCursor) })
  expect(watch, 'a second page of settlements', older.data.map((one) => one.fundingRate), [0.0001])
  expect(watch, 'the end of the settlements', older.nextCursor, null)

  /** @type {string[]} */
  const times = []
  const since = new Date(Date.now() - 3_600_000).toISOString()
  /** @type {string | null} */
  let cursor = null
  do {
    /** @type {Awaited<ReturnType<Client['futures']['getCandles']>>} */
    const page = await client.futures.getCandles({ from: since, limit: 25, range: '1m', ...(cursor && { cursor }) })
    times.push(...page.data.map((candle) => candle.time))
    cursor = page.nextCursor
  } while (cursor !== null)
  expect(watch, 'the candles of an hour', times.length >= 60, true)
  expect(watch, 'candles come newest first, each once', times, [...new Set(times)].sort().reverse())
}

/** @param {Client} client */
async function walkOracle(client) {
  await client.oracle.getIndex({ limit: 10 })
  await client.oracle.getLastPrice({ limit: 10 })
  await client.futures.getLeaderboard()
}

/**
 * @param {Given} given
 * @param {Client} client
 * @param {Watch} watch
 */
async function walkIsolated(given, client, watch) {
  const isolated = client.futures.isolated
  const trade = await isolated.newTrade({
    type: 'market', side: 'buy', leverage: 10, quantity: 1_000, stoploss: 58_000, takeprofit: 70_000,
  })
  expect(watch, 'a market order runs', [trade.running, trade.open, trade.stoploss], [true, false, 58_000])
  const added = await isolated.addMargin({ id: trade.id, amount: 10_000 })
  expect(watch, 'margin after adding', added.margin, trade.margin + 10_000)
  const cashed = await isolated.cashIn({ id: trade.id, amount: 5_000 })
  expect(watch, 'what was cashed in', cashed.sumCashInMargin + cashed.sumCashInPl, 5_000)
  const stopped = await isolated.updateStoploss({ id: trade.id, value: 0.02, mode: 'trailing' })
  expect(watch, 'the trailing distance', stopped.stoplossTrailingDistance, 0.02)
  expect(watch, 'a removed stop', (await isolated.removeStoploss({ id: trade.id })).stoploss, 0)
  expect(watch, 'a target', (await isolated.updateTakeprofit({ id: trade.id, value: 71_000 })).takeprofit, 71_000)
  expect(watch, 'a removed target', (await isolated.removeTakeprofit({ id: trade.id })).takeprofit, 0)

  const resting = await isolated.newTrade({
    type: 'limit', side: 'sell', leverage: 25, margin: 50_000, price: 65_000, clientId: 'walk-1',
  })
  expect(watch, 'a limit order rests', [resting.open, resting.running, resting.clientId], [true, false, 'walk-1'])
  expect(watch, 'open trades', (await isolated.getOpenTrades()).map((one) => one.id), [resting.id])
  expect(watch, 'a canceled order', (await isolated.cancel({ id: resting.id })).canceled, true)
  await isolated.newTrade({ type: 'limit', side: 'buy', leverage: 10, quantity: 100, price: 40_000 })
  const canceled = /** @type {unknown} */ (await isolated.cancelAll())
  expect(watch, 'how many were canceled', Array.isArray(canceled) && canceled.length, 1)

  // One trade for each way a trade can end, and one order that is touched.
  await isolated.newTrade({ type: 'limit', side: 'buy', leverage: 5, quantity: 100, price: 61_500 })
  await isolated.newTrade({ type: 'market', side: 'buy', leverage: 10, quantity: 100, stoploss: 61_000 })
  await isolated.newTrade({ type: 'market', side: 'sell', leverage: 10, quantity: 100, takeprofit: 60_500 })
  await isolated.newTrade({ type: 'market', side: 'buy', leverage: 100, quantity: 100 })
  await control(given, 'POST', '/market/funding', { rate: '0.0001' })
  const fees = await isolated.getFundingFees({ tradeId: trade.id, limit: 10 })
  expect(watch, 'funding fees of the trade', fees.data.map((fee) => fee.tradeId), [trade.id])
  await priceGoesTo(given, 60_000)
  await priceGoesTo(given, 62_000)
  const running = await isolated.getRunningTrades()
  expect(watch, 'what still runs: the first trade and the touched order', running.length, 2)
  expect(watch, 'a closed trade', (await isolated.close({ id: trade.id })).closed, true)
  const closed = await isolated.getClosedTrades({ limit: 10 })
  expect(watch, 'closed trades, newest first', [closed.data.length, closed.data[0]?.id], [4, trade.id])
}

/**
 * @param {Given} given
 * @param {Client} client
 * @param {Watch} watch
 */
async function walkCross(given, client, watch) {
  const cross = client.futures.cross
  expect(watch, 'a flat position', (await cross.getPosition()).quantity, 0)
  expect(watch, 'collateral', (await cross.deposit({ amount: 400_000 })).margin, 400_000)
  expect(watch, 'leverage', (await cross.setLeverage({ leverage: 25 })).leverage, 25)
  const filled = await cross.newOrder({ type: 'market', side: 'buy', quantity: 2_000 })
  expect(watch, 'a market order is filled', [filled.filled, filled.type], [true, 'market'])
  const resting = await cross.newOrder({ type: 'limit', side: 'buy', quantity: 10, price: 40_000 })
  expect(watch, 'open orders', (await cross.getOpenOrders()).map((order) => order.id), [resting.id])
  expect(watch, 'a canceled order', (await cross.cancel({ id: resting.id })).canceled, true)
  await cross.newOrder({ type: 'limit', side: 'buy', quantity: 10, price: 41_000 })
  expect(watch, 'how many were canceled', (await cross.cancelAll()).length, 1)
  await cross.newOrder({ type: 'limit', side: 'buy', quantity: 500, price: 61_500 })
  await control(given, 'POST', '/market/funding', { rate: '0.0001' })
  await priceGoesTo(given, 61_400)
  await priceGoesTo(given, 62_000)
  expect(watch, 'the position', (await cross.getPosition()).quantity, 2_500)
  expect(watch, 'funding fees', (await cross.getFundingFees({ limit: 5 })).data.length, 1)
  const closed = await cross.close()
  expect(watch, 'the closing order', [closed.side, closed.quantity, closed.filled], ['sell', 2_500, true])
  expect(watch, 'filled orders', (await cross.getFilledOrders({ limit: 2 })).data.length, 2)
  const { margin } = await cross.getPosition()
  expect(watch, 'collateral after withdrawing', (await cross.withdraw({ amount: 1_000 })).margin, margin - 1_000)
  const transfers = await cross.getTransfers({ limit: 10 })
  expect(watch, 'transfers', transfers.data.map((one) => one.amount), [-1_000, 400_000])

  await cross.newOrder({ type: 'market', side: 'sell', quantity: 4_000 })
  await priceGoesTo(given, 70_000)
  expect(watch, 'nothing is left of a liquidated position', (await cross.getPosition()).quantity, 0)
  expect(watch, 'the liquidation', (await cross.getFilledOrders({ limit: 1 })).data[0]?.type, 'liquidation')
  await priceGoesTo(given, 62_000)
}

/**
 * @param {Given} given
 * @param {Client} client
 * @param {Watch} watch
 */
async function walkWallet(given, client, watch) {
  const account = client.account
  const { address } = await account.addBitcoinAddress({ format: 'p2wpkh' })
  expect(watch, 'the newest address', (await account.getBitcoinAddress()).address, address)
  const received = `/accounts/${given.account_id}/on-chain-deposits`
  const { deposit_id } = await control(given, 'POST', received, { amount_sats: 50_000, address })
  const seen = await account.getOnChainDeposits({ status: 'MEMPOOL' })
  expect(watch, 'a deposit in no block', seen.data.map((one) => one.id), [deposit_id])
  await control(given, 'POST', `${received}/${deposit_id}/confirm`, { blocks: 3 })
  const inBlock = await account.getOnChainDeposits({ limit: 5 })
  expect(watch, 'its blocks', inBlock.data.map((one) => one.confirmations), [3])
  expect(watch, 'its height is there', inBlock.data.every((one) => Number(one.blockHeight) > 0), true)

  const { balance } = await account.get()
  const { depositId, paymentRequest } = await account.depositLightning({ amount: 20_000, comment: 'walk' })
  expect(watch, 'an invoice', paymentRequest.startsWith('lntbs'), true)
  const open = await account.getLightningDeposits({ settled: false })
  expect(watch, 'a deposit that nobody has paid', open.data.map((one) => one.id), [depositId])
  await control(given, 'POST', '/lightning/user/payments', { payment_request: paymentRequest })
  await until(async () => (await account.get()).balance === balance + 20_000, 'a paid invoice is credited')
  const [paid] = (await account.getLightningDeposits({ settled: true })).data
  expect(watch, 'the newest deposit that was paid', [paid?.id, paid?.comment], [depositId, 'walk'])

  const invoice = (await control(given, 'POST', '/lightning/user/invoices', { amount_sats: 5_000 })).payment_request
  const { id } = await account.withdrawLightning({ invoice })
  await until(
    async () => (await account.getLightningWithdrawals({ status: 'processed' })).data.some((one) => one.id === id),
    'a withdrawal over Lightning is processed'
  )
  const onChain = await account.withdrawOnChain({ address: given.address, amount: 100_000 })
  const pending = await account.getOnChainWithdrawals({ status: 'pending' })
  expect(watch, 'a withdrawal on chain', pending.data.map((one) => one.id), [onChain.id])
  const sent = `/accounts/${given.account_id}/on-chain-withdrawals/${onChain.id}`
  await control(given, 'POST', `${sent}/process`)
  await control(given, 'POST', `${sent}/complete`, { fee_sats: 300 })
  const processed = await account.getOnChainWithdrawals({ limit: 5 })
  expect(watch, 'its fee', processed.data.map((one) => [one.status, one.fee]), [['processed', 300]])
  const unread = await account.getNotifications({ read: false })
  expect(watch, 'there are unread notifications', unread.data.length > 0, true)
  await account.readNotifications()
  expect(watch, 'unread ones after reading', (await account.getNotifications({ read: false })).data, [])
}

/**
 * @param {Client} client
 * @param {Watch} watch
 */
async function walkSyntheticUsd(client, watch) {
  const { bidPrice, askPrice } = await client.syntheticUsd.getBestPrice()
  expect(watch, 'bid is below ask', bidPrice < askPrice, true)
  const swap = await client.syntheticUsd.newSwap({ inAsset: 'BTC', outAsset: 'USD', inAmount: 100_000 })
  expect(watch, 'the dollars', (await client.account.get()).syntheticUsdBalance, swap.outAmount)
  await client.syntheticUsd.newSwap({ inAsset: 'USD', outAsset: 'BTC', inAmount: 10 })
  const swaps = await client.syntheticUsd.getSwaps({ limit: 5 })
  expect(watch, 'swaps, newest first', swaps.data.map((one) => one.inAsset), ['USD', 'BTC'])
}

/**
 * @param {Client} client
 * @param {Watch} watch
 */
async function walkErrors(client, watch) {
  try {
    await client.futures.isolated.close({ id: NOBODYS_ID })
    watch.problems.push('a trade of nobody could be closed')
  } catch (error) {
    const { name, response, data } = /** @type {any} */ (error)
    expect(watch, 'the refusal', [name, response.status, data.code], ['HTTPError', 400, 'BAD_REQUEST'])
    expect(watch, 'its message', data.message, 'You do not own this trade')
  }
}

/**
 * Internal transfers, which the newest SDK has dropped.
 * @param {Given} given
 * @param {Watch} watch
 */
async function walkInternalTransfers(given, watch) {
  const { createHttpClient } = await import('ln-markets-sdk-1/v3')
  const { account } = watched(createHttpClient(given.keys), 'rest1', watch)
  const sent = await account.withdrawInternal({ amount: 100, toUsername: given.other_username })
  expect(watch, 'the sender', [sent.fromUid, sent.amount], [given.account_id, 100])
  const listed = await account.getInternalWithdrawals({ limit: 5 })
  expect(watch, 'to whom', listed.data.map((one) => [one.toUsername, one.amount]), [[given.other_username, 100]])
  expect(watch, 'what came in', (await account.getInternalDeposits()).data, [])
}

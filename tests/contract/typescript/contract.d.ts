// What the packages declare, gathered where `shapes.js` looks for it.
import type { HttpClient } from '@ln-markets/sdk/rest/v3'
import type { StreamClient, SubscriptionData } from '@ln-markets/sdk/stream/v1'
import type { createHttpClient } from 'ln-markets-sdk-1/v3'

export interface Contract {
  rest: HttpClient
  rest1: ReturnType<typeof createHttpClient>
  stream: Pick<
    StreamClient,
    'hello' | 'ping' | 'time' | 'authenticate' | 'whoami' | 'subscribe' | 'unsubscribe' | 'unsubscribeAll'
  >
  topics: SubscriptionData
}

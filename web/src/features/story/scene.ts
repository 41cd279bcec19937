/** Which scene of the story is on, from what really happened; each scene has one caption. */
import type { Activity, Demo, Trade } from '@/api/schema';

export type SceneName =
  | 'preparing'
  | 'waiting'
  | 'start'
  | 'warned'
  | 'rescued'
  | 'limit_used'
  | 'unguarded_dead'
  | 'plug'
  | 'ended';

export interface Scene {
  name: SceneName;
  /** The entry that opened the scene; its time and figures go into the caption. */
  cause: Activity | null;
}

/** Return the scenes reached so far, the present one last. */
export function scenesOf(options: {
  demo: Demo;
  activity: readonly Activity[];
  lead: Trade | null;
  leadTwin: Trade | null;
}): Scene[] {
  const { demo, activity, lead, leadTwin } = options;
  if (demo.status === 'preparing') return [{ name: 'preparing', cause: null }];
  if (demo.status === 'waiting') return [{ name: 'waiting', cause: null }];
  const scenes: Scene[] = [{ name: 'start', cause: null }];
  const seen = new Set<SceneName>();
  const add = (name: SceneName, cause: Activity | null): void => {
    if (seen.has(name)) return;
    seen.add(name);
    scenes.push({ name, cause });
  };
  const guarded = demo.guarded_account_id;
  for (const item of [...activity].reverse()) {
    const isGuarded = item.exchange_account_id === guarded;
    if (item.kind === 'room_warned' && isGuarded) add('warned', item);
    if (item.kind === 'rescue_confirmed' && item.trade_id === lead?.trade_id) add('rescued', item);
    if (item.kind === 'trade_closed' && isGuarded && item.data.close_reason === 'stop_loss') add('limit_used', item);
    if (item.kind === 'trade_closed' && item.trade_id === leadTwin?.trade_id && item.data.close_reason === 'liquidation') {
      add('unguarded_dead', item);
    }
  }
  if (leadTwin?.close_reason === 'liquidation') add('unguarded_dead', null);
  if (demo.plug.is_pulled) scenes.push({ name: 'plug', cause: null });
  else if (demo.status === 'ended') scenes.push({ name: 'ended', cause: null });
  return scenes;
}

/** Turns an entry of the activity list into words; amounts and prices come from the server as they are. */
import type { TFunction } from 'i18next';
import type { Activity, Saying } from '@/api/schema';
import { UNKNOWN, formatClock, formatDuration, formatLeverage, formatMilliseconds, formatPrice, formatRatio, formatSats } from './units';

const PRICE = /(^|_)price$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T/;

/** Every field of an entry as text with its unit, for the sentences in the locale files. */
export function wordsOf(data: Activity['data'], t: TFunction): Record<string, string> {
  const words: Record<string, string> = {};
  for (const [name, value] of Object.entries(data)) words[name] = word(name, value, t);
  return words;
}

function word(name: string, value: unknown, t: TFunction): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value === 'number') {
    if (name.endsWith("_sats")) return formatSats(value);
    if (PRICE.test(name)) return formatPrice(value);
    if (name.endsWith("_share")) return formatRatio(value, 0);
    if (name.endsWith("_ms")) return formatMilliseconds(value);
    if (name.endsWith("_s")) return formatDuration(value);
    if (name === 'leverage') return formatLeverage(value);
    return value.toString();
  }
  if (typeof value !== 'string') return JSON.stringify(value);
  if (['side', 'preset', 'close_reason', 'scope', 'command', 'status', 'source', 'step'].includes(name)) {
    return t(`words.${name}.${value}`, { defaultValue: value });
  }
  if (INSTANT.test(value)) return formatClock(value);
  if (name === 'reason') return t(`words.reason.${value}`, { defaultValue: value });
  return value;
}

/** The short heading of an entry: whose trade and what happened. */
export function activityTitle(activity: Activity, t: TFunction): string {
  const words = wordsOf(activity.data, t);
  const key = variantOf(activity);
  return t(`activity.${key}.title`, { ...words, defaultValue: activity.kind });
}

/** The sentence of an entry: what happened, why, what it cost, what is next. */
export function activitySentence(activity: Activity, t: TFunction): string {
  const words = wordsOf(activity.data, t);
  return t(`activity.${variantOf(activity)}.text`, { ...words, defaultValue: '' });
}

/** Some kinds read differently by their data. */
export function variantOf({ kind, data }: Activity): string {
  if (kind === 'trade_closed') {
    const reason = data.close_reason;
    return reason === 'liquidation' || reason === 'stop_loss' ? `trade_closed_${reason}` : 'trade_closed';
  }
  if (kind === 'liquidation') return 'trade_closed_liquidation';
  if (kind === 'rescue_settled') return data.applied === true ? 'rescue_settled_applied' : 'rescue_settled_not_applied';
  if (kind === 'rescue_followed_up') return followedUp(data);
  if (kind === 'reopened') return data.done === true ? 'reopened_done' : 'reopened_not_done';
  return kind;
}

function followedUp({ kept_sats: kept, would_have_died: died }: Activity['data']): string {
  if (typeof kept !== 'number') return 'rescue_followed_up';
  if (kept < 0) return 'rescue_followed_up_cost';
  if (kept === 0) return 'rescue_followed_up_even';
  return died === true ? 'rescue_followed_up_died' : 'rescue_followed_up_kept';
}

/** A code with its figures as a sentence under `prefix`; a code without words is told as unknown to this page. */
export function sayingOf(prefix: string, saying: Saying, t: TFunction): string {
  const code = saying.code.replaceAll('_', ' ');
  return t(`${prefix}.${saying.code}`, { ...wordsOf(saying.data, t), defaultValue: t('words.without', { code }) });
}

/** The sentence of a decision: its own words, or those of its reason. */
export function whyWords(sentence: Saying, t: TFunction): string {
  const words = wordsOf(sentence.data, t);
  const reason = t(`words.reason.${sentence.code}`, { defaultValue: sentence.code.replaceAll('_', ' ') });
  // Sats that were added for another reason than room, by hand or in a drill, have no room to tell of.
  const isAsked = sentence.code === 'add_margin' && sentence.data.room_share == null;
  return t(`why.sentence.${isAsked ? 'add_margin_asked' : sentence.code}`, { ...words, defaultValue: reason });
}

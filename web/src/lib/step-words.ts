/** Steps of a rule in words: when it acts and what it does. */
import type { TFunction } from 'i18next';
import type { Step, StepAction, Trigger } from '@/api/schema';
import { formatPrice, formatRatio, formatSats } from './units';

/** Where the figure stands in the words, so that the editor can put an input there. */
const VALUE = '<value/>';

/** The figure of a trigger as text, with its unit. */
export function triggerFigure(trigger: Trigger): string {
  switch (trigger.kind) {
    case 'room_share':
    case 'consumed':
      return formatRatio(trigger.share, 1);
    case 'distance':
      return formatRatio(trigger.distance, 2);
    case 'price':
      return formatPrice(trigger.price);
    case 'margin_ratio':
      return formatRatio(trigger.ratio, 1);
  }
}

/** The figure of an action as text, or null where it has none. */
export function actionFigure(action: StepAction): string | null {
  switch (action.kind) {
    case 'top_up':
      return formatRatio(action.refill_share, 0);
    case 'top_up_to':
      return formatRatio(action.distance, 2);
    case 'top_up_sats':
      return formatSats(action.sats);
    case 'top_up_share':
    case 'reduce':
      return formatRatio(action.share, 0);
    case 'notify':
    case 'close':
      return null;
  }
}

export function triggerWords(trigger: Trigger, t: TFunction): string {
  return t(`step.when.${trigger.kind}`).replace(VALUE, triggerFigure(trigger));
}

export function actionWords(action: StepAction, t: TFunction): string {
  const key = action.kind === 'reduce' ? `reduce_${action.how}` : action.kind;
  return t(`step.do.${key}`).replace(VALUE, actionFigure(action) ?? '');
}

/** Whether a step puts sats in. */
export function isTopUp(step: Step): boolean {
  return step.action.kind.startsWith('top_up');
}

/** The name of a step where only its key is known. */
export function stepName(key: string | null, t: TFunction): string {
  if (key === null) return '';
  return t(`words.step.${key}`, { defaultValue: key.replaceAll('_', ' ') });
}

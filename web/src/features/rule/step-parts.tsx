import type { ReactNode } from 'react';
import { Trans, useTranslation } from 'react-i18next';
import type { Step, StepAction, Trigger } from '@/api/schema';
import { withStep } from '@/lib/rule-edit';
import { actionFigure, stepName, triggerFigure } from '@/lib/step-words';
import { parsePrice, parseSats, parseShare } from '@/lib/units';
import type { Edit } from '@/stores/draft';
import { EditableFigure } from './editable-figure';

/** When a step acts, its figure edited in place. */
export function TriggerPart({ step, onEdit }: { step: Step; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const { trigger } = step;
  const value = (
    <EditableFigure
      label={t('rule.field.when', { step: stepName(step.key, t) })}
      text={triggerFigure(trigger)}
      parse={(text) => typedTrigger(trigger, text)}
      onChange={(next) => onEdit((body) => withStep(body, step.key, { trigger: next }))}
    />
  );
  return <Trans t={t} i18nKey={`step.when.${trigger.kind}`} components={{ value }} />;
}

/** What a step does, its figure edited in place. */
export function ActionPart({ step, onEdit }: { step: Step; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const { action } = step;
  const text = actionFigure(action);
  const value =
    text === null ? (
      <span />
    ) : (
      <EditableFigure
        label={t(`rule.field.${action.kind}`, { step: stepName(step.key, t) })}
        text={text}
        parse={(typed) => typedAction(action, typed)}
        onChange={(next) => onEdit((body) => withStep(body, step.key, { action: next }))}
      />
    );
  return <Trans t={t} i18nKey={`step.do.${action.kind === 'reduce' ? `reduce_${action.how}` : action.kind}`} components={{ value }} />;
}

function typedTrigger(trigger: Trigger, text: string): Trigger | null {
  if (trigger.kind === 'price') {
    const price = parsePrice(text);
    return price === null ? null : { kind: 'price', price };
  }
  const share = parseShare(text);
  if (share === null || share <= 0) return null;
  if (trigger.kind === 'distance') return { kind: 'distance', distance: share };
  if (trigger.kind === 'margin_ratio') return { kind: 'margin_ratio', ratio: share };
  return { kind: trigger.kind, share };
}

function typedAction(action: StepAction, text: string): StepAction | null {
  if (action.kind === 'top_up_sats') {
    const sats = parseSats(text);
    return sats === null || sats === 0 ? null : { kind: 'top_up_sats', sats };
  }
  const share = parseShare(text);
  if (share === null || share <= 0) return null;
  if (action.kind === 'top_up') return { kind: 'top_up', refill_share: share };
  if (action.kind === 'top_up_to') return { kind: 'top_up_to', distance: share };
  if (action.kind === 'top_up_share') return { kind: 'top_up_share', share };
  if (action.kind === 'reduce') return { ...action, share };
  return null;
}

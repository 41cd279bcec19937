import { Plus, Trash2 } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { LadderPreview, ReduceHow, RuleBody, Step } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Select } from '@/components/ui/select';
import { ACTIONS, TRIGGERS, actionOf, triggerOf, withNewStep, withStep, withoutStep } from '@/lib/rule-edit';
import { stepName } from '@/lib/step-words';
import { formatPrice } from '@/lib/units';
import type { Edit } from '@/stores/draft';
import { ActionPart, TriggerPart } from './step-parts';

const HOWS: readonly ReduceHow[] = ['reopen', 'close_one'];

/** Every step: when it acts and what it does, in any of the forms there are. */
export function StepsEditor({ body, preview, lastPrice, onEdit }: { body: RuleBody; preview: LadderPreview | null; lastPrice: number | null; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <div>
      <ol className="space-y-2">
        {body.steps.map((step, index) => (
          <StepRow
            key={step.key}
            step={step}
            number={index + 1}
            price={preview?.marks.find((mark) => mark.key === step.key)?.price ?? null}
            lastPrice={lastPrice}
            onEdit={onEdit}
          />
        ))}
      </ol>
      <Button variant="outline" size="xs" className="mt-2" onClick={() => onEdit(withNewStep)}>
        <Plus />
        {t('rule.add_step')}
      </Button>
    </div>
  );
}

function StepRow({ step, number, price, lastPrice, onEdit }: { step: Step; number: number; price: number | null; lastPrice: number | null; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const { action } = step;
  const of = stepName(step.key, t);
  return (
    <li className="rounded-md bg-surface px-3 py-2" aria-label={t('rule.step_number', { number })}>
      <div className="flex items-center gap-2 text-2xs text-faint">
        <span>{t('rule.step_number', { number })}</span>
        <span className="ml-auto text-text">{formatPrice(price)}</span>
        <button
          type="button"
          aria-label={t('rule.remove_step', { number })}
          className="grid size-6 place-items-center rounded text-faint hover:bg-raised hover:text-text"
          onClick={() => onEdit((body) => withoutStep(body, step.key))}
        >
          <Trash2 aria-hidden className="size-3.5" />
        </button>
      </div>
      <p className="text-sm leading-6 text-muted">
        <TriggerPart step={step} onEdit={onEdit} />, <ActionPart step={step} onEdit={onEdit} />
      </p>
      <div className="mt-1 flex flex-wrap gap-1.5">
        <Select
          label={t('rule.trigger_kind', { step: of })}
          className="h-7 text-xs"
          value={step.trigger.kind}
          options={TRIGGERS.map((value) => ({ value, label: t(`step.trigger.${value}`) }))}
          onChange={(kind) => onEdit((body) => withStep(body, step.key, { trigger: triggerOf(kind, price ?? lastPrice) }))}
        />
        <Select
          label={t('rule.action_kind', { step: of })}
          className="h-7 text-xs"
          value={action.kind}
          options={ACTIONS.map((value) => ({ value, label: t(`step.action.${value}`) }))}
          onChange={(kind) => onEdit((body) => withStep(body, step.key, { action: actionOf(kind) }))}
        />
        {action.kind === 'reduce' && (
          <Select
            label={t('rule.reduce_how', { step: of })}
            className="h-7 text-xs"
            value={action.how}
            options={HOWS.map((value) => ({ value, label: t(`step.how.${value}`) }))}
            onChange={(how) => onEdit((body) => withStep(body, step.key, { action: { ...action, how } }))}
          />
        )}
      </div>
    </li>
  );
}

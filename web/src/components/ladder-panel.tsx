import type { TFunction } from 'i18next';
import { Check, CircleDashed, Pause } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { LadderPreview, RuleDocument, Step, WhyNot } from '@/api/schema';
import { sayingOf } from '@/lib/activity-words';
import { cn } from '@/lib/cn';
import { actionWords, stepName, triggerWords } from '@/lib/step-words';
import { formatPrice, formatRatio, formatSats } from '@/lib/units';

/** The rule in force as a list of steps: when, what, at which price, how far away, and what holds it back. */
export function LadderPanel({ rule, ladder, whyNot }: { rule: RuleDocument; ladder: LadderPreview | null; whyNot: WhyNot | null }): ReactNode {
  const { t } = useTranslation();
  const priceOf = (key: string): number | null => ladder?.marks.find((mark) => mark.key === key)?.price ?? null;
  const stop = ladder?.marks.find((mark) => mark.kind === 'stop') ?? null;
  return (
    <>
      <p className="text-xs text-muted">
        {t(`rule_panel.from.${rule.scope}`, { preset: t(`words.preset.${rule.preset}`) })} {limitWords(rule, t)}
      </p>
      {rule.steps.length === 0 && <p className="mt-2 text-sm text-caution">{t('rule_panel.no_steps')}</p>}
      <ol className="mt-2 divide-y divide-line">
        {rule.steps.map((step) => (
          <StepRow key={step.key} step={step} price={priceOf(step.key)} state={whyNot?.steps.find((each) => each.key === step.key) ?? null} />
        ))}
        {rule.give_up_price !== null && (
          <li className="flex justify-between gap-3 py-2 text-sm">
            <span>{t('rule_panel.give_up')}</span>
            <span className="font-medium">{formatPrice(rule.give_up_price)}</span>
          </li>
        )}
        {rule.stop_share !== null && (
          <li className="flex justify-between gap-x-3 py-2 text-sm">
            <span>
              {t('rule_panel.stop', { share: formatRatio(rule.stop_share, 0) })}{' '}
              {ladder?.stop_returns_sats != null && <span className="text-muted">{t('rule_panel.stop_returns', { sats: formatSats(ladder.stop_returns_sats) })}</span>}
            </span>
            <span className="font-medium">{formatPrice(stop?.price)}</span>
          </li>
        )}
      </ol>
      {whyNot?.next && <p className="mt-2 border-t border-line pt-2 text-sm text-muted">{sayingOf('why_not.next', whyNot.next, t)}</p>}
    </>
  );
}

function limitWords(rule: RuleDocument, t: TFunction): string {
  const { limits } = rule;
  const parts: string[] = [];
  if (limits.position_sats !== null) parts.push(t('rule_panel.limit', { sats: formatSats(limits.position_sats) }));
  else if (limits.position_margins !== null) parts.push(t('rule_panel.limit_margins', { times: String(limits.position_margins) }));
  if (limits.max_count !== null) parts.push(t('rule_panel.count', { number: limits.max_count }));
  if (limits.account_day_sats !== null) parts.push(t('rule_panel.day', { sats: formatSats(limits.account_day_sats) }));
  if (limits.reserve_sats > 0) parts.push(t('rule_panel.reserve', { sats: formatSats(limits.reserve_sats) }));
  return parts.join(' ');
}

function StepRow({ step, price, state }: { step: Step; price: number | null; state: WhyNot['steps'][number] | null }): ReactNode {
  const { t } = useTranslation();
  const isBlocked = (state?.blocks.length ?? 0) > 0;
  const Icon = state === null ? CircleDashed : isBlocked ? Pause : state.ready ? Check : CircleDashed;
  const standing = state === null ? 'unknown' : state.is_due ? 'due' : isBlocked ? 'blocked' : state.ready ? 'ready' : 'used';
  return (
    <li className="py-2 text-sm" data-testid={`step-${step.key}`}>
      <div className="flex items-start justify-between gap-3">
        <p className="min-w-0">
          {triggerWords(step.trigger, t)}, <span className="font-medium">{actionWords(step.action, t)}</span>
        </p>
        <p className="shrink-0 text-right font-medium">{formatPrice(state?.mark_price ?? price)}</p>
      </div>
      <p className={cn('mt-0.5 flex items-center gap-1.5 text-xs', standing === 'due' || isBlocked ? 'text-caution' : 'text-muted')}>
        <Icon aria-hidden className="size-3.5 shrink-0" />
        <span>
          {t(`why_not.standing.${standing}`)}
          {state?.away_share != null && !state.is_due && <> · {t('why_not.away', { share: formatRatio(Math.abs(state.away_share), 2) })}</>}
        </span>
        <span className="sr-only">{stepName(step.key, t)}</span>
      </p>
      {state?.blocks.map((block) => (
        <p key={block.code} className="mt-0.5 pl-5 text-xs text-caution" data-block={block.code}>
          {sayingOf('why_not.block', block, t)}
        </p>
      ))}
    </li>
  );
}

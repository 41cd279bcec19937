import type { ReactNode } from 'react';
import { Trans, useTranslation } from 'react-i18next';
import type { LadderEvent, LadderPreview, RuleBody, Step, Trade } from '@/api/schema';
import { withLimits } from '@/lib/rule-edit';
import { isTopUp } from '@/lib/step-words';
import { formatPrice, formatSats, formatSatsAbout, parseSats } from '@/lib/units';
import type { Edit } from '@/stores/draft';
import { EditableFigure } from './editable-figure';
import { ActionPart, TriggerPart } from './step-parts';

const ENDS = new Set<LadderEvent['what']>(['closed', 'gave_up', 'stopped', 'liquidated']);

/** The step the sentence is about: the first that puts sats in, else the first that does anything. */
export function mainStep(body: RuleBody): Step | null {
  return body.steps.find(isTopUp) ?? body.steps.find((step) => step.action.kind !== 'notify') ?? body.steps[0] ?? null;
}

/** The rule as one sentence whose figures are edited in place. */
export function RuleSentence({
  body,
  preview,
  trade,
  dragPrice,
  onEdit,
}: {
  body: RuleBody;
  preview: LadderPreview | null;
  trade: Trade | null;
  /** Where the step's line is being dragged to. */
  dragPrice: number | null;
  onEdit: (change: Edit) => void;
}): ReactNode {
  const { t } = useTranslation();
  const step = mainStep(body);
  const price = dragPrice ?? preview?.marks.find((mark) => mark.key === step?.key)?.price ?? null;
  const spends = body.steps.some(isTopUp);
  return (
    <p className="text-[0.9375rem] leading-7 text-muted" data-testid="rule-sentence">
      {step ? (
        <>
          <TriggerPart step={step} onEdit={onEdit} />
          {step.trigger.kind !== 'price' && price !== null && (
            <>
              {' '}
              (<strong className="font-semibold text-text">{formatPrice(price)}</strong>)
            </>
          )}
          , <ActionPart step={step} onEdit={onEdit} />
        </>
      ) : (
        t('rule.no_steps')
      )}
      {spends && (
        <>
          , <LimitPart body={body} isOneTrade={trade !== null} onEdit={onEdit} />
        </>
      )}
      <EndPart preview={preview} trade={trade} spends={spends} />
    </p>
  );
}

function LimitPart({ body, isOneTrade, onEdit }: { body: RuleBody; isOneTrade: boolean; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const { position_sats: sats, position_margins: margins } = body.limits;
  const label = t('rule.field.limit');
  const figure =
    sats === null && margins !== null ? (
      <EditableFigure
        label={label}
        text={String(margins)}
        parse={(text) => (/^\d{1,2}([.,]\d)?$/.test(text.trim()) ? Number(text.replace(',', '.')) : null)}
        onChange={(times) => onEdit((before) => withLimits(before, { position_margins: times }))}
      />
    ) : (
      <EditableFigure
        label={label}
        text={formatSats(sats)}
        parse={parseSats}
        onChange={(value) => onEdit((before) => withLimits(before, { position_sats: value, position_margins: null }))}
      />
    );
  const key = sats === null && margins !== null ? 'rule.spend_margins' : isOneTrade ? 'rule.spend' : 'rule.spend_each';
  return <Trans t={t} i18nKey={key} components={{ limit: figure }} />;
}

/** Where the path ends when nothing is enough: figures of the preview, as they are. */
function EndPart({ preview, trade, spends }: { preview: LadderPreview | null; trade: Trade | null; spends: boolean }): ReactNode {
  const { t } = useTranslation();
  const end = preview?.events.find((event) => ENDS.has(event.what)) ?? null;
  if (!end || !trade) return '.';
  const key = end.what === 'liquidated' ? 'rule.end_liquidated' : spends ? 'rule.end' : 'rule.end_free';
  return (
    <>
      ;{' '}
      <Trans
        t={t}
        i18nKey={key}
        components={{ b: <strong className="font-semibold text-text" /> }}
        values={{
          stop: formatPrice(end.price),
          returns: formatSatsAbout(end.returns_sats),
          total: formatSats(trade.entry_margin_sats + end.spent_sats),
        }}
      />
    </>
  );
}

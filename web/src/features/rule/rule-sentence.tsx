import type { ReactNode } from 'react';
import { Trans, useTranslation } from 'react-i18next';
import type { Preview, RuleChange, Trade } from '@/api/schema';
import { formatPrice, formatRatio, formatSats, formatSatsAbout, parseSats, parseShare } from '@/lib/units';
import { EditableFigure } from './editable-figure';

/** The rule as one sentence whose figures are edited in place. */
export function RuleSentence({
  trade,
  change,
  preview,
  topUpPrice,
  onEdit,
}: {
  trade: Trade;
  change: RuleChange;
  preview: Preview | null;
  topUpPrice: number | null;
  onEdit: (patch: Partial<RuleChange>) => void;
}): ReactNode {
  const { t } = useTranslation();
  const price = formatPrice(topUpPrice ?? preview?.top_up_price);
  const total = trade.entry_margin_sats + change.position_limit_sats;
  const parts = {
    topUp: (
      <EditableFigure
        label={t('rule.field.top_up')}
        text={formatRatio(change.top_up_share, 0)}
        parse={parseShare}
        onChange={(share) => onEdit({ top_up_share: share })}
      />
    ),
    refill: (
      <EditableFigure
        label={t('rule.field.refill')}
        text={formatRatio(change.refill_share, 0)}
        parse={parseShare}
        onChange={(share) => onEdit({ refill_share: share })}
      />
    ),
    limit: (
      <EditableFigure
        label={t('rule.field.limit')}
        text={formatSats(change.position_limit_sats)}
        parse={parseSats}
        onChange={(sats) => onEdit({ position_limit_sats: sats })}
      />
    ),
    b: <strong className="font-semibold text-text" />,
  };
  // Where the last layer closes once the limit is used up, not where the stop stands today.
  const stop = preview?.safety_stop_price == null ? null : preview.covered_to_price;
  return (
    <p className="text-[0.9375rem] leading-7 text-muted" data-testid="rule-sentence">
      <Trans
        t={t}
        i18nKey={change.top_up_share === null ? 'rule.sentence_watch' : 'rule.sentence'}
        components={parts}
        values={{ price, interpolation: { escapeValue: false } }}
      />{' '}
      {stop !== null && (
        <Trans
          t={t}
          i18nKey="rule.sentence_stop"
          components={{ b: parts.b }}
          values={{ stop: formatPrice(stop), returns: formatSatsAbout(preview?.stop_returns_sats), total: formatSats(total) }}
        />
      )}
    </p>
  );
}

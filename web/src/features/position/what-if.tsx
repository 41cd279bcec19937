import { useId, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { LadderPreview, Trade } from '@/api/schema';
import { LadderEvents } from '@/components/ladder-events';
import { formatPrice, formatSats } from '@/lib/units';
import { eventsUpTo, priceAtValue, spanOf, valueAt } from '@/lib/what-if';

/** A slider for the price: what would have happened by then. Left is nearer to liquidation, as on the gauge. */
export function WhatIf({
  trade,
  ladder,
  price,
  onPrice,
}: {
  trade: Trade;
  ladder: LadderPreview;
  /** The price looked at; null is the present one. */
  price: number | null;
  onPrice: (price: number | null) => void;
}): ReactNode {
  const { t } = useTranslation();
  const id = useId();
  const present = trade.last_price ?? trade.entry_price;
  const span = spanOf(trade, ladder.events, present);
  const value = price === null ? span.max : Math.min(span.max, Math.max(span.min, valueAt(trade.side, price)));
  const shown = priceAtValue(value);
  const passed = eventsUpTo(trade, ladder.events, shown);
  const last = passed.at(-1);
  const isOver = passed.some((event) => ['closed', 'gave_up', 'stopped', 'liquidated'].includes(event.what));
  const liquidation = [...passed].reverse().find((event) => event.liquidation_price !== null)?.liquidation_price ?? trade.liquidation_price;
  const facts: [string, string][] = [
    [t('what_if.spent'), formatSats(last?.spent_sats ?? trade.guard?.spent_sats ?? trade.added_sats)],
    isOver ? [t('what_if.returns'), formatSats(last?.returns_sats)] : [t('what_if.liquidation'), formatPrice(liquidation)],
  ];
  return (
    <div>
      <label htmlFor={id} className="flex items-baseline justify-between gap-2 text-sm">
        <span>{t('what_if.label')}</span>
        <output htmlFor={id} className="text-base font-semibold" data-testid="what-if-price">
          {formatPrice(shown, { half: true })}
        </output>
      </label>
      <input
        id={id}
        type="range"
        min={span.min}
        max={span.max}
        step={0.5}
        value={value}
        aria-valuetext={formatPrice(shown)}
        onChange={(event) => onPrice(priceAtValue(Number(event.target.value)))}
        onDoubleClick={() => onPrice(null)}
        className="mt-2 w-full accent-info"
      />
      <p className="flex justify-between text-2xs text-faint">
        <span>{t('what_if.end')}</span>
        <span>{t('what_if.present')}</span>
      </p>
      <dl className="mt-2 flex gap-6">
        {facts.map(([name, figure]) => (
          <div key={name}>
            <dt className="text-2xs text-faint">{name}</dt>
            <dd className="text-sm font-semibold">{figure}</dd>
          </div>
        ))}
      </dl>
      <div className="mt-2 min-h-6" aria-live="polite">
        {passed.length === 0 ? <p className="text-sm text-muted">{t('what_if.nothing')}</p> : <LadderEvents events={passed} />}
      </div>
    </div>
  );
}

import { EyeOff, PlugZap, WifiOff, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { useBeat } from '@/lib/clock';
import { cn } from '@/lib/cn';
import { formatDuration } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';
import { useConnection } from '@/stores/connection';
import { useMarket } from '@/stores/market';

const OLD_PRICE_S = 5;
const SILENT_LINE_S = 2.5;

/** What the page can't promise at the moment: nobody watching, an old price, no line to Axisor. The gravest alone is shown. */
export function WatchBanner(): ReactNode {
  const { t } = useTranslation();
  const beat = useBeat();
  const items = useAccounts((state) => state.items);
  const watches = useAccounts((state) => state.watches);
  const watchedAt = useAccounts((state) => state.watchedAt);
  const status = useConnection((state) => state.status);
  const lastFrameAt = useConnection((state) => state.lastFrameAt);
  const price = useMarket((state) => state.price);
  const priceReceivedAt = useMarket((state) => state.receivedAt);

  const silentS = lastFrameAt === null ? null : (beat - lastFrameAt) / 1000;
  if (status.kind === 'offline') {
    return <Banner icon={WifiOff} title={t('banner.offline')} text={t('banner.offline_text', { age: formatDuration(silentS ?? 0) })} />;
  }
  if (silentS !== null && silentS > SILENT_LINE_S && status.kind !== 'open') {
    return <Banner icon={PlugZap} title={t('banner.no_line', { age: formatDuration(silentS) })} text={t('banner.no_line_text')} />;
  }
  const guarded = (items ?? []).filter((each) => each.is_guarded);
  for (const account of guarded) {
    const watch = watches[account.exchange_account_id] ?? account.watch;
    const seen = watch.last_seen_age_s === null ? null : watch.last_seen_age_s + Math.max(0, watchedAt === null ? 0 : beat - watchedAt) / 1000;
    const reasons = watch.reasons.map((reason) => t(`watch.reason.${reason}`, { defaultValue: reason })).join(', ');
    if (watch.state === 'unwatched' || watch.state === 'unknown') {
      const title = seen === null ? t('watch.unwatched_unknown') : t('watch.unwatched', { age: formatDuration(seen) });
      return <Banner isDanger icon={EyeOff} title={title} text={`${t('watch.unwatched_text')} ${reasons ? `(${reasons})` : ''}`} />;
    }
    if (watch.state === 'degraded') return <Banner icon={EyeOff} title={t('watch.degraded')} text={reasons} />;
  }
  const priceAge = price === null ? null : price.age_s + Math.max(0, beat - priceReceivedAt) / 1000;
  if (priceAge !== null && priceAge > OLD_PRICE_S) {
    return <Banner icon={PlugZap} title={t('banner.old_price', { age: formatDuration(priceAge) })} text={t('banner.old_price_text')} />;
  }
  return null;
}

function Banner({ icon: Icon, title, text, isDanger = false }: { icon: LucideIcon; title: string; text: string; isDanger?: boolean }): ReactNode {
  return (
    <div
      role="alert"
      className={cn(
        'flex animate-fade-in items-start gap-3 rounded-lg border px-4 py-2.5 text-sm',
        isDanger ? 'border-danger bg-danger text-on-danger' : 'border-caution/60 bg-caution/10 text-text',
      )}
    >
      <Icon aria-hidden className={cn('mt-0.5 size-4.5 shrink-0', !isDanger && 'text-caution')} />
      <p>
        <strong className="font-semibold">{title}</strong> <span className={isDanger ? '' : 'text-muted'}>{text}</span>
      </p>
    </div>
  );
}

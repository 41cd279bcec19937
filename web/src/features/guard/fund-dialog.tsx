import { useQuery } from '@tanstack/react-query';
import { Check, CircleAlert, CircleHelp, Copy, Loader, Zap } from 'lucide-react';
import { useMemo, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { call } from '@/api/client';
import { Fund } from '@/api/schema';
import { QrCode } from '@/components/qr-code';
import { RequestStatus } from '@/components/request-status';
import { Button } from '@/components/ui/button';
import { Dialog, DialogContent, DialogDescription, DialogFooter, DialogTitle } from '@/components/ui/dialog';
import { Input } from '@/components/ui/input';
import { Skeleton } from '@/components/ui/skeleton';
import { useWallBeat } from '@/lib/clock';
import { cn } from '@/lib/cn';
import { formatDuration, formatInteger, formatSats, parseSats } from '@/lib/units';
import { useCommand } from '@/lib/use-command';

const POLL_MS = 1_500;
const OVER = new Set<Fund['status']>(['paid', 'expired', 'refused']);

/** Asks for a Lightning invoice of the exchange and shows it until it is paid. */
export function FundDialog({ accountId, accountName, shortfallSats, onDone }: { accountId: string; accountName: string; shortfallSats: number; onDone: () => void }): ReactNode {
  const { t } = useTranslation();
  const [text, setText] = useState(formatInteger(shortfallSats));
  const amount = parseSats(text);
  const body = useMemo(() => ({ amount_sats: amount }), [amount]);
  const command = useCommand(`/accounts/${accountId}/fund`, body, { follow: false });
  const requestId = command.state.kind === 'following' ? command.state.request.request_id : null;
  const isValid = amount !== null && amount > 0;
  return (
    <Dialog open onOpenChange={(isOpen) => !isOpen && onDone()}>
      <DialogContent>
        <DialogTitle>{t('fund.title', { account: accountName })}</DialogTitle>
        <DialogDescription>{t('fund.text', { amount: formatSats(shortfallSats) })}</DialogDescription>
        {requestId === null ? (
          <>
            <label className="mt-4 block text-xs font-medium text-muted" htmlFor="fund-amount">
              {t('fund.amount')}
            </label>
            <Input
              id="fund-amount"
              inputMode="numeric"
              className="mt-1 text-right"
              value={text}
              aria-invalid={!isValid}
              onChange={(event) => setText(event.target.value)}
              onBlur={() => amount !== null && setText(formatInteger(amount))}
            />
            <RequestStatus command={command} />
            <DialogFooter>
              <Button variant="outline" onClick={onDone}>
                {t('common.cancel')}
              </Button>
              <Button disabled={!isValid || command.isBusy} onClick={command.ask}>
                <Zap />
                {t('fund.ask', { amount: formatSats(amount) })}
              </Button>
            </DialogFooter>
          </>
        ) : (
          <Invoice accountId={accountId} requestId={requestId} onDone={onDone} />
        )}
      </DialogContent>
    </Dialog>
  );
}

function Invoice({ accountId, requestId, onDone }: { accountId: string; requestId: string; onDone: () => void }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery({
    queryKey: ['fund', requestId],
    queryFn: ({ signal }) => call(`/accounts/${accountId}/fund/${requestId}`, { schema: Fund, signal }),
    refetchInterval: (each) => (each.state.data && OVER.has(each.state.data.status) ? false : POLL_MS),
    retry: false,
  });
  const fund = query.data;
  const invoice = fund?.payment_request ?? null;
  const isPayable = fund?.status === 'waiting' && invoice !== null;
  return (
    <div className="mt-4 flex flex-col items-center gap-3">
      {isPayable ? (
        <>
          <QrCode text={`lightning:${invoice}`.toUpperCase()} label={t('fund.qr', { amount: formatSats(fund.amount_sats) })} className="w-full max-w-64 rounded-lg" />
          <p className="text-base font-semibold">{formatSats(fund.amount_sats)}</p>
          <div className="flex w-full gap-2">
            <Button asChild className="flex-1">
              <a href={`lightning:${invoice}`}>
                <Zap />
                {t('fund.open')}
              </a>
            </Button>
            <CopyButton text={invoice} />
          </div>
          <p className="w-full truncate text-2xs text-faint" title={invoice}>
            {invoice}
          </p>
        </>
      ) : (
        !fund && <Skeleton className="size-64" />
      )}
      <Standing fund={fund ?? null} isFailing={query.isError} />
      <DialogFooter className="w-full">
        <Button variant="outline" onClick={onDone}>
          {t('common.close')}
        </Button>
      </DialogFooter>
    </div>
  );
}

const ICONS = { requested: Loader, waiting: Loader, paid: Check, expired: CircleAlert, refused: CircleAlert, unknown: CircleHelp } as const;

function Standing({ fund, isFailing }: { fund: Fund | null; isFailing: boolean }): ReactNode {
  const { t } = useTranslation();
  const now = useWallBeat();
  const status = fund?.status ?? 'requested';
  const leftS = fund?.expires_at ? (Date.parse(fund.expires_at) - now) / 1000 : null;
  const Icon = ICONS[status];
  const tone = status === 'paid' ? 'text-safe' : status === 'requested' || status === 'waiting' ? 'text-muted' : 'text-caution';
  return (
    <p role="status" className={cn('flex w-full items-start gap-2 text-sm', tone)}>
      <Icon aria-hidden className="mt-0.5 size-4 shrink-0" />
      <span>
        {t(`fund.status.${status}`, { amount: formatSats(fund?.amount_sats) })}
        {status === 'waiting' && leftS !== null && leftS > 0 && <> {t('fund.valid_for', { left: formatDuration(leftS) })}</>}
        {isFailing && <span className="block text-caution">{t('fund.unreadable')}</span>}
      </span>
    </p>
  );
}

function CopyButton({ text }: { text: string }): ReactNode {
  const { t } = useTranslation();
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => toast(t('fund.copied')),
      () => toast(t('fund.copy_failed')),
    );
  };
  return (
    <Button variant="outline" onClick={copy}>
      <Copy />
      {t('fund.copy')}
    </Button>
  );
}

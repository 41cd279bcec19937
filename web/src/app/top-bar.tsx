import { ArrowDown, ArrowUp, Check, ChevronDown, Wallet } from 'lucide-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Account } from '@/api/schema';
import { Age } from '@/components/age';
import { Badge } from '@/components/ui/badge';
import { Button } from '@/components/ui/button';
import { DropdownMenu, DropdownMenuContent, DropdownMenuItem, DropdownMenuTrigger } from '@/components/ui/dropdown-menu';
import { StopSpending } from '@/features/guard/stop-spending';
import { tradeName } from '@/lib/trade-name';
import { useBeat, useWallBeat } from '@/lib/clock';
import { cn } from '@/lib/cn';
import { formatDuration, formatPrice, formatRatio } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';
import { useConnection } from '@/stores/connection';
import { useMarket } from '@/stores/market';
import { useChosen } from './use-chosen';

export function TopBar(): ReactNode {
  const { t } = useTranslation();
  const { account, chosen } = useChosen();
  return (
    <header className="sticky top-0 z-20 flex h-13 items-center gap-2 sm:gap-3 border-b border-line bg-card px-3">
      <AccountSwitcher account={account} />
      <NetworkBadge network={account?.network ?? null} />
      <PriceNow />
      <Funding />
      <div className="ml-auto flex items-center gap-3">
        <Connection />
        <StopSpending chosen={chosen} chosenName={chosen ? tradeName(chosen, t(`words.side.${chosen.side}`)) : ''} />
      </div>
    </header>
  );
}

function AccountSwitcher({ account }: { account: Account | null }): ReactNode {
  const { t } = useTranslation();
  const items = useAccounts((state) => state.items);
  const { select } = useChosen();
  return (
    <DropdownMenu>
      <DropdownMenuTrigger asChild>
        <Button variant="ghost" size="sm" className="max-w-40 min-w-0 shrink px-1.5 text-text" aria-label={t('account.switch')}>
          <Wallet className="text-faint sm:hidden" />
          <span className="hidden truncate sm:inline">{account?.name ?? t('account.none')}</span>
          <ChevronDown className="text-faint" />
        </Button>
      </DropdownMenuTrigger>
      <DropdownMenuContent align="start">
        {(items ?? []).map((each) => (
          <DropdownMenuItem key={each.exchange_account_id} onSelect={() => select(each)} className="justify-between">
            <span>
              {each.name}
              <span className="block text-xs text-faint">{t(each.is_guarded ? 'account.guarded' : 'account.unguarded')}</span>
            </span>
            {each.exchange_account_id === account?.exchange_account_id && <Check />}
          </DropdownMenuItem>
        ))}
      </DropdownMenuContent>
    </DropdownMenu>
  );
}

/** Paper is blue, signet violet; real money is told by its shape, so that orange stays for deeds. */
export function NetworkBadge({ network }: { network: Account['network'] | null }): ReactNode {
  const { t } = useTranslation();
  if (network === null) return <Badge variant="outline">…</Badge>;
  const variant = network === 'paper' ? 'info' : network === 'signet' ? 'signet' : 'live';
  return (
    <Badge variant={variant} title={t(`network.${network}.about`)}>
      {t(`network.${network}.name`)}
    </Badge>
  );
}

function PriceNow(): ReactNode {
  const { t } = useTranslation();
  const price = useMarket((state) => state.price);
  const direction = useMarket((state) => state.direction);
  const receivedAt = useMarket((state) => state.receivedAt);
  const Arrow = direction === 'up' ? ArrowUp : ArrowDown;
  return (
    <div className="flex items-baseline gap-1.5" title={t('top.price')}>
      <span className="min-w-[4.6rem] text-right text-base font-semibold" data-testid="last-price">
        {formatPrice(price?.last_price, { half: true })}
      </span>
      <span className="text-2xs text-faint">USD</span>
      {direction && <Arrow aria-hidden className="size-3 self-center text-muted" />}
      <span className="hidden min-w-14 text-xs sm:inline">
        {price && <Age ageS={price.age_s} receivedAt={receivedAt} oldAfterS={5} />}
      </span>
    </div>
  );
}

function Funding(): ReactNode {
  const { t } = useTranslation();
  const now = useWallBeat();
  const rate = useMarket((state) => state.price?.funding_rate ?? null);
  const at = useMarket((state) => state.price?.funding_at ?? null);
  const leftS = at === null ? null : Math.max(0, (Date.parse(at) - now) / 1000);
  return (
    <p className="hidden text-xs whitespace-nowrap text-muted lg:block">
      {t('top.funding', { rate: formatRatio(rate, 4), left: leftS === null ? '–' : formatDuration(leftS) })}
    </p>
  );
}

function Connection(): ReactNode {
  const { t } = useTranslation();
  const beat = useBeat();
  const status = useConnection((state) => state.status);
  const lastFrameAt = useConnection((state) => state.lastFrameAt);
  const age = lastFrameAt === null ? null : Math.max(0, beat - lastFrameAt) / 1000;
  const isLive = status.kind === 'open' && age !== null && age < 3;
  const words = isLive ? t('connection.live') : age === null ? t('connection.connecting') : t('connection.silent', { age: formatDuration(age) });
  return (
    <p className={cn('flex items-center gap-1.5 text-xs whitespace-nowrap', isLive ? 'text-muted' : 'text-caution')} title={words} role="status">
      <span aria-hidden className={cn('size-2 rounded-full', isLive ? 'bg-profit' : 'border border-caution')} />
      <span className="hidden md:inline">{words}</span>
      <span className="sr-only md:hidden">{words}</span>
    </p>
  );
}

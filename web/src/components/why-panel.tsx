import { CircleDot, PauseCircle, ShieldCheck } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { WhyEntry } from '@/api/schema';
import { QueryStates } from '@/components/query-states';
import { Button } from '@/components/ui/button';
import { whyWords } from '@/lib/activity-words';
import { formatClock } from '@/lib/units';
import { useWhy } from '@/lib/use-why';
import { useView } from '@/stores/view';

const ICONS = { did: CircleDot, held: PauseCircle, outcome: ShieldCheck } as const;

/** Every decision about a trade or a cross position (`of`: its path), acted on or not, newest first; each opens with its inputs, arithmetic and proof. */
export function WhyPanel({ of, accountId, news }: { of: string; accountId: string; news: string }): ReactNode {
  const { t } = useTranslation();
  const [cursors, setCursors] = useState<string[]>([]);
  const first = useWhy(of, null, news);
  const isEmpty = first.data?.items.length === 0;
  return (
    <div>
      <QueryStates query={first} failed={t('why.failed')} lines={4} />
      {isEmpty && <p className="text-sm text-muted">{t('why.empty')}</p>}
      {first.data && first.data.items.length > 0 && (
        <ol className="scrollbar-thin max-h-112 divide-y divide-line overflow-y-auto">
          {first.data.items.map((entry) => (
            <Entry key={entry.decision_id} entry={entry} accountId={accountId} />
          ))}
          {cursors.map((cursor) => (
            <Older key={cursor} of={of} accountId={accountId} cursor={cursor} isLast={cursor === cursors.at(-1)} onMore={(next) => setCursors([...cursors, next])} />
          ))}
          {cursors.length === 0 && first.data.next_cursor !== null && <More onMore={() => setCursors([first.data.next_cursor ?? ''])} />}
        </ol>
      )}
    </div>
  );
}

function Older({ of, accountId, cursor, isLast, onMore }: { of: string; accountId: string; cursor: string; isLast: boolean; onMore: (next: string) => void }): ReactNode {
  const { t } = useTranslation();
  const page = useWhy(of, cursor, '');
  const next = page.data?.next_cursor ?? null;
  return (
    <>
      {(page.isPending || page.isError) && (
        <li className="py-2">
          <QueryStates query={page} failed={t('why.failed')} />
        </li>
      )}
      {page.data?.items.map((entry) => <Entry key={entry.decision_id} entry={entry} accountId={accountId} />)}
      {isLast && next !== null && <More onMore={() => onMore(next)} />}
    </>
  );
}

function More({ onMore }: { onMore: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <li className="py-2">
      <Button variant="outline" size="sm" onClick={onMore}>
        {t('why.older')}
      </Button>
    </li>
  );
}

function Entry({ entry, accountId }: { entry: WhyEntry; accountId: string }): ReactNode {
  const { t } = useTranslation();
  const openDecision = useView((state) => state.openDecision);
  const Icon = ICONS[entry.kind];
  return (
    <li className="flex gap-2.5 py-2 text-sm" data-kind={entry.kind}>
      <Icon aria-hidden className={entry.kind === 'did' ? 'mt-0.5 size-4 shrink-0 text-accent' : 'mt-0.5 size-4 shrink-0 text-faint'} />
      <div className="min-w-0 flex-1">
        <p className="flex items-baseline justify-between gap-2">
          <span className="text-xs font-medium">{t(`why.kind.${entry.kind}`)}</span>
          <time dateTime={entry.at} className="shrink-0 text-2xs text-faint">
            {formatClock(entry.at)}
          </time>
        </p>
        <p className="text-muted">{whyWords(entry.sentence, t)}</p>
        <button
          type="button"
          onClick={() => openDecision(accountId, entry.decision_id)}
          className="mt-0.5 text-xs font-medium text-accent-text underline-offset-2 hover:underline"
        >
          {t('activity_list.exactly')}
        </button>
        <span className="ml-3 text-2xs text-faint">{t(entry.sealed ? 'why.sealed' : 'why.not_sealed')}</span>
      </div>
    </li>
  );
}

import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '@/api/client';
import { Decision, type Attempt } from '@/api/schema';
import { StatePanel } from '@/components/state-panel';
import { Button } from '@/components/ui/button';
import { Dialog, DialogDescription, DialogTitle, SheetContent } from '@/components/ui/dialog';
import { Skeleton } from '@/components/ui/skeleton';
import { nameOf, outcomeRows, rowsOf, valueOf } from '@/lib/decision-rows';
import { formatClock, formatSats } from '@/lib/units';
import { useView } from '@/stores/view';

/** What exactly happened: what was seen, the arithmetic, what was asked of the exchange, what it answered. */
export function DecisionDrawer(): ReactNode {
  const { t } = useTranslation();
  const open = useView((state) => state.decision);
  const close = useView((state) => state.closeDecision);
  const query = useQuery({
    queryKey: ['decisions', open?.accountId, open?.decisionId],
    enabled: open !== null,
    queryFn: ({ signal }) => call(`/decisions/${open?.accountId ?? ''}/${open?.decisionId ?? ''}`, { schema: Decision, signal }),
  });
  return (
    <Dialog open={open !== null} onOpenChange={(isOpen) => !isOpen && close()}>
      <SheetContent>
        <DialogTitle>{t('decision.title')}</DialogTitle>
        <DialogDescription>{t('decision.about')}</DialogDescription>
        {query.isPending && <Waiting />}
        {query.isError && (
          <StatePanel
            tone="caution"
            className="px-0"
            title={t('decision.failed')}
            detail={t('decision.failed_detail')}
            action={<Button size="sm" variant="outline" onClick={() => void query.refetch()}>{t('common.try_again')}</Button>}
          />
        )}
        {query.data && <Body decision={query.data} />}
      </SheetContent>
    </Dialog>
  );
}

function Waiting(): ReactNode {
  return (
    <div className="mt-5 space-y-3">
      {[60, 90, 75, 82, 50].map((width) => (
        <Skeleton key={width} className="h-4" style={{ width: `${width}%` }} />
      ))}
    </div>
  );
}

function Body({ decision }: { decision: Decision }): ReactNode {
  const { t } = useTranslation();
  const decided = outcomeRows(decision.inputs, t);
  return (
    <div className="mt-4 space-y-5">
      <p className="text-sm">
        <span className="text-faint">{formatClock(decision.at, { milliseconds: true })}</span>{' '}
        {t(`decision.action.${decision.action}`, { defaultValue: decision.action })}:{' '}
        {t(`words.reason.${decision.reason}`, { defaultValue: decision.reason })}
      </p>
      <Section title={t('decision.seen')}>
        <Table rows={rowsOf(decision.inputs, t)} />
      </Section>
      {decided.length > 0 && (
        <Section title={t('decision.decided')}>
          <Table rows={decided} />
        </Section>
      )}
      {decision.arithmetic.length > 0 && <Section title={t('decision.arithmetic')}>
        <ol className="space-y-2">
          {decision.arithmetic.map((step) => (
            <li key={step.name} className="text-xs">
              <div className="flex justify-between gap-3">
                <span className="text-muted">{nameOf(step.name)}</span>
                <span className="font-medium">{valueOf(step.name, step.value, t)}</span>
              </div>
              <code className="text-2xs text-faint">{step.formula}</code>
            </li>
          ))}
        </ol>
      </Section>}
      {decision.attempts.map((attempt) => (
        <Section key={attempt.attempt_no} title={t('decision.attempt', { number: attempt.attempt_no })}>
          <AttemptBody attempt={attempt} />
        </Section>
      ))}
      <Section title={t('decision.proof')}>
        <Table
          rows={[
            [t('decision.rule_version'), String(decision.rule_version ?? '–')],
            [t('decision.code_version'), decision.code_version ?? '–'],
          ]}
        />
        <p className="mt-2 text-2xs break-all text-faint">{decision.hash ?? t('decision.not_sealed')}</p>
        {decision.previous_hash !== null && (
          <p className="mt-1 text-2xs break-all text-faint">
            {t('decision.after')} {decision.previous_hash}
          </p>
        )}
      </Section>
    </div>
  );
}

function AttemptBody({ attempt }: { attempt: Attempt }): ReactNode {
  const { t } = useTranslation();
  const times: [string, string | null][] = [
    [t('decision.signed'), attempt.signed_at],
    [t('decision.sent'), attempt.sent_at],
    [t('decision.answered'), attempt.answered_at],
    [t('decision.settled'), attempt.settled_at],
  ];
  return (
    <div className="space-y-2">
      <Table
        rows={[
          [t('decision.outcome'), t(`decision.state.${attempt.state}`, { defaultValue: attempt.state })],
          [t('decision.amount'), formatSats(attempt.amount_sats)],
          ...times.map(([name, at]): [string, string] => [name, at === null ? '–' : formatClock(at, { milliseconds: true })]),
        ]}
      />
      {attempt.request && <Exchange title={`${attempt.request.method} ${attempt.request.path}`} body={attempt.request.body} />}
      {attempt.answer && <Exchange title={t('decision.answer', { status: attempt.answer.status ?? '–' })} body={attempt.answer.body_excerpt} />}
    </div>
  );
}

function Exchange({ title, body }: { title: string; body: unknown }): ReactNode {
  const text = typeof body === 'string' ? body : JSON.stringify(body, null, 1);
  return (
    <figure className="rounded-md bg-surface p-2 text-2xs">
      <figcaption className="font-medium break-all text-muted">{title}</figcaption>
      <pre className="mt-1 overflow-x-auto whitespace-pre-wrap break-all text-faint">{text}</pre>
    </figure>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return (
    <section>
      <h3 className="mb-1.5 text-xs font-semibold text-text">{title}</h3>
      {children}
    </section>
  );
}

function Table({ rows }: { rows: readonly (readonly [string, string])[] }): ReactNode {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-xs">
      {rows.map(([name, value], index) => (
        <div key={`${index}${name}`} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="text-right font-medium break-all">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

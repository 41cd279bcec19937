import { useQueryClient } from '@tanstack/react-query';
import { Check as CheckIcon, CircleHelp, Loader, X } from 'lucide-react';
import { useRef, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiProblem, NoAnswer, call } from '@/api/client';
import { Drill, type Check, type Trade } from '@/api/schema';
import { QueryStates } from '@/components/query-states';
import { Button } from '@/components/ui/button';
import { cn } from '@/lib/cn';
import { checkFigure, fieldName } from '@/lib/check-words';
import { formatClock, formatDuration, formatMilliseconds } from '@/lib/units';
import { tradePath, useCheck, useDrill } from './use-position';

/** A drill: the smallest top-up, its proof, the stop moved by a tick and back, each request with its answer. */
export function DrillPanel({ trade }: { trade: Trade }): ReactNode {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const query = useDrill(trade);
  const key = useRef(crypto.randomUUID());
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isAsking, setAsking] = useState(false);
  const drill = query.data ?? null;
  const isRunning = drill?.status === 'running' || isAsking;
  const start = async (): Promise<void> => {
    setAsking(true);
    setRefusal(null);
    try {
      await call(`${tradePath(trade)}/drill`, { method: 'POST', body: {}, schema: Drill, headers: { 'Idempotency-Key': key.current } });
      key.current = crypto.randomUUID();
    } catch (error) {
      // No answer: the next press asks under the same key and cannot act twice.
      if (!(error instanceof NoAnswer)) key.current = crypto.randomUUID();
      setRefusal(error instanceof ApiProblem ? error.message : t(error instanceof NoAnswer ? 'request.no_answer' : 'drill.failed'));
    } finally {
      setAsking(false);
      await queries.invalidateQueries({ queryKey: ['guard', 'drill'] });
    }
  };
  return (
    <div className="text-sm">
      <p className="text-muted">{t('drill.about')}</p>
      <Button size="sm" variant="outline" className="mt-2" disabled={isRunning || trade.status !== 'running'} onClick={() => void start()}>
        {isRunning && <Loader />}
        {t(drill === null ? 'drill.start' : 'drill.again')}
      </Button>
      {refusal !== null && <p role="alert" className="mt-2 text-caution">{refusal}</p>}
      {(query.isPending || query.isError) && (
        <div className="mt-3">
          <QueryStates query={query} failed={t('drill.unreadable')} />
        </div>
      )}
      {drill && <DrillResult drill={drill} />}
    </div>
  );
}

function DrillResult({ drill }: { drill: Drill }): ReactNode {
  const { t } = useTranslation();
  const tone = drill.status === 'passed' ? 'text-safe' : drill.status === 'running' ? 'text-muted' : 'text-caution';
  return (
    <div className="mt-3">
      <p role="status" className={cn('font-medium', tone)}>
        {t(`drill.status.${drill.status}`)} <span className="text-2xs font-normal text-faint">{formatClock(drill.started_at)}</span>
      </p>
      <ol className="mt-1 divide-y divide-line">
        {drill.steps.map((step) => {
          const Icon = step.ok === null ? CircleHelp : step.ok ? CheckIcon : X;
          return (
            <li key={step.name} className="flex gap-2 py-1.5">
              <Icon aria-hidden className={cn('mt-0.5 size-4 shrink-0', step.ok === true ? 'text-safe' : step.ok === false ? 'text-caution' : 'text-faint')} />
              <div className="min-w-0 flex-1">
                <p className="flex justify-between gap-2">
                  <span>
                    {t(`drill.step.${step.name}`, { defaultValue: step.name.replaceAll('_', ' ') })}
                    <span className="sr-only">{t(step.ok === null ? 'drill.open' : step.ok ? 'drill.ok' : 'drill.not_ok')}</span>
                  </span>
                  <span className="shrink-0 text-xs text-muted">{formatMilliseconds(step.ms)}</span>
                </p>
                <p className="text-2xs break-all text-faint">
                  {step.method} {step.target} {step.answer_status !== null && <>→ {step.answer_status}</>}
                  {step.sent_at !== null && <> · {formatClock(step.sent_at, { milliseconds: true })}</>}
                </p>
                {step.detail !== null && <p className="text-xs text-muted">{t(`drill.detail.${step.detail}`, { defaultValue: step.detail.replaceAll('_', ' ') })}</p>}
              </div>
            </li>
          );
        })}
      </ol>
    </div>
  );
}

/** Everything read again at the exchange, ours beside theirs. */
export function CheckPanel({ trade }: { trade: Trade }): ReactNode {
  const { t } = useTranslation();
  const query = useCheck(trade);
  return (
    <div className="text-sm">
      <p className="text-muted">{t('check.about')}</p>
      <Button size="sm" variant="outline" className="mt-2" disabled={query.isFetching} onClick={() => void query.refetch()}>
        {query.isFetching && <Loader />}
        {t('check.start')}
      </Button>
      {query.isError && <p role="alert" className="mt-2 text-caution">{query.error instanceof ApiProblem ? query.error.message : t('check.failed')}</p>}
      {query.data && <CheckResult check={query.data} />}
    </div>
  );
}

function CheckResult({ check }: { check: Check }): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="mt-3">
      <p role="status" className={cn('font-medium', check.agrees ? 'text-safe' : 'text-caution')}>
        {t(check.agrees ? 'check.agrees' : 'check.differs')} <span className="text-2xs font-normal text-faint">{formatClock(check.at)}</span>
      </p>
      <div className="mt-1 overflow-x-auto">
        <table className="w-full text-xs">
          <thead className="text-2xs text-faint">
            <tr>
              {(['field', 'ours', 'theirs', 'difference', 'age'] as const).map((column) => (
                <th key={column} scope="col" className={cn('py-1 font-normal whitespace-nowrap', column === 'field' ? 'text-left' : 'pl-3 text-right')}>
                  {t(`check.column.${column}`)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {check.rows.map((row) => {
              const differs = row.difference !== null ? row.difference !== 0 : row.ours !== row.theirs;
              return (
                <tr key={row.field} className={cn('border-t border-line', differs && 'text-caution')}>
                  <th scope="row" className="py-1 text-left font-normal">{fieldName(row.field, t)}</th>
                  <td className="pl-3 text-right whitespace-nowrap">{checkFigure(row.ours, row.unit, t)}</td>
                  <td className="pl-3 text-right whitespace-nowrap">{checkFigure(row.theirs, row.unit, t)}</td>
                  <td className="pl-3 text-right whitespace-nowrap">{row.difference === null ? '–' : checkFigure(row.difference, row.unit, t)}</td>
                  <td className="pl-3 text-right whitespace-nowrap">{row.age_s === null ? '–' : formatDuration(row.age_s)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </div>
  );
}

import type { TFunction } from 'i18next';
import { useMutation } from '@tanstack/react-query';
import { Undo2 } from 'lucide-react';
import { useEffect, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { ApiProblem, NoAnswer, call } from '@/api/client';
import { Rule, type RuleChange, type Trade } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { Dialog, DialogDescription, DialogTitle, SheetContent } from '@/components/ui/dialog';
import { ruleChangeOf } from '@/lib/rule-change';
import { formatLeverage, formatRatio, formatSats, parseShare } from '@/lib/units';
import { selectTrade, useTrades } from '@/stores/trades';
import { isDirty, useView, type RuleDraft } from '@/stores/view';
import { EditableFigure } from './editable-figure';
import { PreviewPanel } from './preview-panel';
import { RuleSentence } from './rule-sentence';
import { useRulePreview } from './use-rule-preview';

/** The guard of one trade: a sentence to edit, and what it would do. The chart stays usable beside it. */
export function RuleDrawer(): ReactNode {
  const draft = useView((state) => state.draft);
  const trade = useTrades(selectTrade(draft?.accountId ?? null, draft?.tradeId ?? null));
  const close = useView((state) => state.closeRule);
  return (
    <Dialog open={draft !== null && trade !== null} modal={false} onOpenChange={(isOpen) => !isOpen && close()}>
      {draft && trade && (
        <SheetContent overlay={false} onInteractOutside={(event) => event.preventDefault()} className="z-10 max-md:max-h-[55dvh] max-md:z-40 md:top-13 md:bottom-0">
          <Editor draft={draft} trade={trade} />
        </SheetContent>
      )}
    </Dialog>
  );
}

function useUndoKey(undo: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z' || event.shiftKey) return;
      event.preventDefault();
      undo();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [undo]);
}

function Editor({ draft, trade }: { draft: RuleDraft; trade: Trade }): ReactNode {
  const { t } = useTranslation();
  const { editRule, undoRule, rebaseRule, closeRule } = useView.getState();
  const { isFailing } = useRulePreview();
  const [refusal, setRefusal] = useState<string | null>(null);
  useUndoKey(undoRule);
  const latest = trade.guard?.rule ?? null;
  const isBehind = latest !== null && latest.version !== draft.change.version;
  const save = useMutation({
    mutationFn: (change: RuleChange) =>
      call(`/accounts/${draft.accountId}/trades/${draft.tradeId}/rule`, { method: 'PUT', body: change, schema: Rule }),
    onSuccess: () => {
      toast(t('rule.saved'));
      closeRule();
    },
    onError: (error) => setRefusal(refusalWords(error, t)),
  });
  const edit = (patch: Partial<RuleChange>): void => {
    setRefusal(null);
    editRule(patch);
  };
  const name = trade.label ?? `${formatLeverage(trade.entry_leverage)} ${t(`words.side.${trade.side}`)}`;
  return (
    <>
      <DialogTitle>{t('rule.title', { trade: name })}</DialogTitle>
      <DialogDescription className="mb-4 text-xs">{t('rule.hint')}</DialogDescription>
      <RuleSentence trade={trade} change={draft.change} preview={draft.preview} topUpPrice={draft.dragPrice} onEdit={edit} />
      <More change={draft.change} onEdit={edit} />
      {isFailing && <Note text={t('rule.preview_failed')} />}
      {isBehind && (
        <Note text={t('rule.behind')}>
          <Button size="sm" variant="outline" className="mt-2" onClick={() => rebaseRule(ruleChangeOf(latest))}>
            {t('rule.keep_mine')}
          </Button>
        </Note>
      )}
      {refusal && <Note text={refusal} />}
      <div className="mt-5 flex items-center gap-2">
        <Button disabled={!isDirty(draft) || save.isPending || isBehind} onClick={() => save.mutate(draft.change)}>
          {t('rule.save')}
        </Button>
        <Button variant="outline" size="icon" aria-label={t('rule.undo')} title={t('rule.undo')} disabled={draft.past.length === 0} onClick={undoRule}>
          <Undo2 />
        </Button>
        <Button variant="ghost" onClick={closeRule}>
          {t('common.cancel')}
        </Button>
        {!isDirty(draft) && <span className="ml-auto text-xs text-faint">{t('rule.unchanged')}</span>}
      </div>
      <PreviewPanel preview={draft.preview} />
    </>
  );
}

function refusalWords(error: unknown, t: TFunction): string {
  if (error instanceof NoAnswer) return t('rule.no_answer');
  if (!(error instanceof ApiProblem)) return t('rule.failed');
  if (error.code === 'stale_version') return t('rule.behind');
  const fields = (error.problem.errors ?? []).map((each) => `${each.field}: ${each.message}`).join(' ');
  return `${error.code === 'fires_now' ? t('rule.fires_now') : t('rule.refused')} ${error.message} ${fields}`.trim();
}

function Note({ text, children }: { text: string; children?: ReactNode }): ReactNode {
  return (
    <div role="alert" className="mt-4 rounded-md border border-caution/60 bg-caution/10 px-3 py-2 text-sm text-text">
      {text}
      {children && <div>{children}</div>}
    </div>
  );
}

function More({ change, onEdit }: { change: RuleChange; onEdit: (patch: Partial<RuleChange>) => void }): ReactNode {
  const { t } = useTranslation();
  const parseCount = (text: string): number | null => (/^\d{1,2}$/.test(text.trim()) ? Number(text) : null);
  return (
    <details className="mt-3 text-sm text-muted">
      <summary className="cursor-pointer text-xs font-medium text-faint hover:text-text">{t('rule.more')}</summary>
      <ul className="mt-2 space-y-1.5">
        <li className="flex items-baseline justify-between">
          {t('rule.field.warn')}
          <EditableFigure label={t('rule.field.warn')} text={formatRatio(change.warn_share, 0)} parse={parseShare} onChange={(share) => onEdit({ warn_share: share })} />
        </li>
        <li className="flex items-baseline justify-between">
          {t('rule.field.count')}
          <EditableFigure label={t('rule.field.count')} text={String(change.max_count ?? '–')} parse={parseCount} onChange={(count) => onEdit({ max_count: count })} />
        </li>
        <li className="flex items-baseline justify-between">
          {t('rule.field.stop')}
          <EditableFigure label={t('rule.field.stop')} text={formatRatio(change.stop_share, 0)} parse={parseShare} onChange={(share) => onEdit({ stop_share: share })} />
        </li>
        <li className="flex items-baseline justify-between">
          {t('rule.field.limit')} <span className="font-medium text-text">{formatSats(change.position_limit_sats)}</span>
        </li>
      </ul>
    </details>
  );
}

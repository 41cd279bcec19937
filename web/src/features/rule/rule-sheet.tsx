import { useQuery } from '@tanstack/react-query';
import { Undo2 } from 'lucide-react';
import { useEffect, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { call } from '@/api/client';
import { RuleView, type Trade } from '@/api/schema';
import { QueryStates } from '@/components/query-states';
import { Button } from '@/components/ui/button';
import { Dialog, DialogDescription, DialogTitle, SheetContent } from '@/components/ui/dialog';
import { WATCH } from '@/lib/rule-edit';
import { nameOfTrade } from '@/lib/trade-name';
import { formatPrice } from '@/lib/units';
import { useAccounts } from '@/stores/accounts';
import { isDirty, rulePath, useDraft, type RuleScope } from '@/stores/draft';
import { selectTrade, useTrades } from '@/stores/trades';
import { Conflicts } from './conflicts';
import { More } from './more';
import { Presets } from './presets';
import { PreviewPanel } from './preview-panel';
import { RuleSentence, mainStep } from './rule-sentence';
import { ScopeActions } from './scope-actions';
import { hasPath, useLadderPreview } from './use-ladder-preview';
import { useSaveRule } from './use-save-rule';

const READ_AGAIN_MS = 5_000;

/** The rule of one scope: a sentence to edit, everything else under More. The page and its chart stay usable beside it. */
export function RuleSheet(): ReactNode {
  const scope = useDraft((state) => state.scope);
  const close = useDraft((state) => state.close);
  return (
    <Dialog open={scope !== null} modal={false} onOpenChange={(isOpen) => !isOpen && close()}>
      {scope && (
        <SheetContent
          key={rulePath(scope)}
          overlay={false}
          onInteractOutside={(event) => event.preventDefault()}
          className="z-10 max-md:max-h-[55dvh] max-md:z-40 md:top-13 md:bottom-0"
        >
          <Editor scope={scope} />
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

function useTitle(scope: RuleScope, trade: Trade | null): string {
  const { t } = useTranslation();
  const account = useAccounts((state) => (scope.kind === 'user' ? null : (state.items?.find((each) => each.exchange_account_id === scope.accountId) ?? null)));
  if (scope.kind === 'trade') return t('rule.title', { trade: trade ? nameOfTrade(trade, t) : '' });
  if (scope.kind === 'user') return t('rule.title_user');
  return t(scope.kind === 'cross' ? 'rule.title_cross' : 'rule.title_account', { account: account?.name ?? '' });
}

function Editor({ scope }: { scope: RuleScope }): ReactNode {
  const { t } = useTranslation();
  const trade = useTrades(selectTrade(scope.kind === 'trade' ? scope.accountId : null, scope.kind === 'trade' ? scope.tradeId : null));
  const draft = useDraft((state) => state.draft);
  const { accept, rebase, edit, undo, close } = useDraft.getState();
  const path = rulePath(scope);
  const query = useQuery({
    queryKey: ['guard', 'rule', path],
    queryFn: ({ signal }) => call(path, { schema: RuleView, signal }),
    refetchInterval: READ_AGAIN_MS,
  });
  const view = query.data ?? null;
  useEffect(() => {
    if (view) accept(view, WATCH);
  }, [view, accept]);
  const { body } = draft;
  const { isFailing } = useLadderPreview(scope, body);
  const save = useSaveRule(scope);
  const firesNow = draft.preview?.fires_now_price ?? null;
  // What fires at once is refused with its own words, and can't be accepted.
  const conflicts = (save.conflicts ?? draft.preview?.conflicts ?? []).filter((each) => each.kind !== 'fires_at_once');
  useUndoKey(undo);
  const change: typeof edit = (...parts) => {
    save.forget();
    edit(...parts);
  };
  const isBehind = view !== null && body !== null && (view.own?.version ?? 0) !== draft.version;
  const title = useTitle(scope, trade);
  const isWaitingForAccept = conflicts.length > 0 && !save.accepts;
  return (
    <>
      <DialogTitle>{title}</DialogTitle>
      <DialogDescription className="mb-4 text-xs">{t(hasPath(scope) ? 'rule.hint' : 'rule.hint_scope')}</DialogDescription>
      <QueryStates query={query} failed={t('rule.unreadable')} />
      {body && (
        <>
          {view?.own === null && <p className="mb-2 text-xs text-muted">{t(`rule.from.${view.effective?.scope ?? view.inherited?.scope ?? 'none'}`)}</p>}
          <RuleSentence
            body={body}
            preview={draft.preview}
            trade={trade}
            dragPrice={draft.drag && draft.drag.mark === mainStep(body)?.key ? draft.drag.price : null}
            onEdit={change}
          />
          <More body={body} inherited={view?.inherited ?? null} preview={draft.preview} lastPrice={trade?.last_price ?? null} onEdit={change} />
          {view?.presets && view.presets.length > 0 && (
            <details className="mt-3 text-sm">
              <summary className="cursor-pointer text-xs font-medium text-faint hover:text-text">{t('preset.title')}</summary>
              <div className="mt-2">
                <Presets scope={scope} offers={view.presets} current={body.preset} onEdit={change} />
              </div>
            </details>
          )}
          {isFailing && <Note text={t('rule.preview_failed')} />}
          {firesNow !== null && (
            <Note text={t('rule.fires_now_price', { price: formatPrice(firesNow), last: formatPrice(trade?.last_price) })} />
          )}
          {isBehind && (
            <Note text={t('rule.behind')}>
              <Button size="sm" variant="outline" className="mt-2" onClick={() => rebase(view)}>
                {t('rule.keep_mine')}
              </Button>
            </Note>
          )}
          <Conflicts conflicts={conflicts} accepts={save.accepts} onAccept={save.setAccepts} />
          {save.refusal && <Note text={save.refusal} />}
          <div className="mt-5 flex flex-wrap items-center gap-2">
            <Button
              disabled={!isDirty(draft) || save.isPending || isBehind || firesNow !== null || isWaitingForAccept}
              onClick={() => save.save(body, draft.version)}
            >
              {t('rule.save')}
            </Button>
            <Button variant="outline" size="icon" aria-label={t('rule.undo')} title={t('rule.undo')} disabled={draft.past.length === 0} onClick={undo}>
              <Undo2 />
            </Button>
            <Button variant="ghost" onClick={close}>
              {t('common.cancel')}
            </Button>
            {!isDirty(draft) && <span className="ml-auto text-xs text-faint">{t('rule.unchanged')}</span>}
          </div>
          {view && <ScopeActions scope={scope} view={view} />}
          {hasPath(scope) && <PreviewPanel preview={draft.preview} />}
        </>
      )}
    </>
  );
}

function Note({ text, children }: { text: string; children?: ReactNode }): ReactNode {
  return (
    <div role="alert" className="mt-4 rounded-md border border-caution/60 bg-caution/10 px-3 py-2 text-sm text-text">
      {text}
      {children && <div>{children}</div>}
    </div>
  );
}

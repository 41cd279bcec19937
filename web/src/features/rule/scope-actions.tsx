import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { toast } from 'sonner';
import { z } from 'zod';
import { call } from '@/api/client';
import { Guarded, type RuleView } from '@/api/schema';
import { Button } from '@/components/ui/button';
import { rulePath, useDraft, type RuleScope } from '@/stores/draft';

/** Back to what the scope inherits, and "do not guard", which is remembered. */
export function ScopeActions({ scope, view }: { scope: RuleScope; view: RuleView }): ReactNode {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const refresh = (): Promise<void> => queries.invalidateQueries({ queryKey: ['guard'] });
  const back = useMutation({
    mutationFn: () => call(rulePath(scope), { method: 'DELETE', schema: z.unknown() }),
    onSuccess: () => {
      toast(t('rule.is_back'));
      useDraft.getState().close();
    },
    onError: () => toast.error(t('rule.back_failed')),
    onSettled: refresh,
  });
  const guarding = useMutation({
    mutationFn: (isGuarded: boolean) => call(rulePath(scope).replace(/\/rule$/, ''), { method: 'PUT', body: { is_guarded: isGuarded }, schema: Guarded }),
    onSuccess: ({ is_guarded: isGuarded }) => toast(t(isGuarded ? 'rule.guarded_again' : 'rule.not_guarded_now')),
    onError: () => toast.error(t('rule.guarding_failed')),
    onSettled: refresh,
  });
  const canGoBack = view.own !== null && scope.kind !== 'user';
  const { is_guarded: isGuarded } = view;
  if (!canGoBack && isGuarded === undefined) return null;
  return (
    <div className="mt-3 flex flex-wrap items-center gap-2 border-t border-line pt-3">
      {canGoBack && (
        <Button variant="outline" size="xs" disabled={back.isPending} onClick={() => back.mutate()}>
          {t(scope.kind === 'account' ? 'rule.back_to_user' : 'rule.back_to_account')}
        </Button>
      )}
      {isGuarded !== undefined && (
        <Button variant="outline" size="xs" disabled={guarding.isPending} onClick={() => guarding.mutate(!isGuarded)}>
          {t(isGuarded ? 'rule.do_not_guard' : 'rule.guard_again')}
        </Button>
      )}
      {isGuarded === false && <p className="w-full text-xs text-caution">{t('rule.is_not_guarded')}</p>}
    </div>
  );
}

import { useId, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { FundingSource, LadderPreview, RuleBody, RuleDocument, RulePart, Shortage } from '@/api/schema';
import { Select } from '@/components/ui/select';
import { custom, withLimits } from '@/lib/rule-edit';
import { formatPrice, formatRatio, formatSats, parsePrice, parseSats, parseShare } from '@/lib/units';
import type { Edit } from '@/stores/draft';
import { EditableFigure } from './editable-figure';
import { StepsEditor } from './steps-editor';

const SOURCES: readonly FundingSource[] = ['balance', 'cash_in', 'swap', 'deposit'];
const SHORTAGES: readonly Shortage[] = ['partial', 'reduce', 'close', 'notify'];
const PARTS: readonly RulePart[] = ['steps', 'stop', 'give_up', 'limits', 'funding'];

/** Nothing typed means "no limit". */
function optional(parse: (text: string) => number | null): (text: string) => { value: number | null } | null {
  return (text) => {
    if (/^[\s–-]*$/.test(text)) return { value: null };
    const value = parse(text);
    return value === null ? null : { value };
  };
}
const parseCount = (text: string): number | null => (/^\d{1,3}$/.test(text.trim()) ? Number(text) : null);

export interface MoreProps {
  body: RuleBody;
  /** What this scope would inherit; null where it is the last one. */
  inherited: RuleDocument | null;
  preview: LadderPreview | null;
  lastPrice: number | null;
  onEdit: (change: Edit) => void;
}

/** Everything beyond the sentence. What is inherited is shown as it holds and is not edited here. */
export function More({ body, inherited, preview, lastPrice, onEdit }: MoreProps): ReactNode {
  const { t } = useTranslation();
  const isFrom = (part: RulePart): boolean => body.inherits.includes(part);
  return (
    <details className="mt-3 text-sm text-muted">
      <summary className="cursor-pointer text-xs font-medium text-faint hover:text-text">{t('rule.more')}</summary>
      <div className="mt-3 space-y-5">
        {inherited && <Inheritance body={body} inherited={inherited} onEdit={onEdit} />}
        <Group title={t('rule.group.steps')} isInherited={isFrom('steps')}>
          <StepsEditor body={body} preview={preview} lastPrice={lastPrice} onEdit={onEdit} />
        </Group>
        <Group title={t('rule.group.limits')} isInherited={isFrom('limits')}>
          <Limits body={body} onEdit={onEdit} />
        </Group>
        <Group title={t('rule.group.stop')} isInherited={isFrom('stop')}>
          <Line name={t('rule.field.stop')}>
            <EditableFigure
              label={t('rule.field.stop')}
              text={formatRatio(body.stop_share, 0)}
              parse={optional(parseShare)}
              onChange={({ value }) => onEdit((before) => custom(before, { stop_share: value }))}
            />
          </Line>
          <Line name={t('rule.field.rearm')}>
            <EditableFigure
              label={t('rule.field.rearm')}
              text={formatRatio(body.rearm_share, 0)}
              parse={parseShare}
              onChange={(value) => onEdit((before) => custom(before, { rearm_share: value }))}
            />
          </Line>
        </Group>
        <Group title={t('rule.group.give_up')} isInherited={isFrom('give_up')}>
          <Line name={t('rule.field.give_up')}>
            <EditableFigure
              label={t('rule.field.give_up')}
              text={formatPrice(body.give_up_price)}
              parse={optional(parsePrice)}
              onChange={({ value }) => onEdit((before) => custom(before, { give_up_price: value }))}
            />
          </Line>
        </Group>
        <Group title={t('rule.group.funding')} isInherited={isFrom('funding')}>
          <Funding body={body} onEdit={onEdit} />
        </Group>
        <Group title={t('rule.group.after')} isInherited={false}>
          <Tick label={t('rule.field.takes_back')} isOn={body.takes_back} onChange={(isOn) => onEdit((before) => custom(before, { takes_back: isOn }))} />
          <Tick
            label={t('rule.field.second_send')}
            isOn={body.allow_second_send}
            onChange={(isOn) => onEdit((before) => custom(before, { allow_second_send: isOn }))}
          />
        </Group>
      </div>
    </details>
  );
}

function Inheritance({ body, inherited, onEdit }: { body: RuleBody; inherited: RuleDocument; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const toggle = (part: RulePart, isOn: boolean): void =>
    onEdit((before) => {
      const inherits = isOn ? [...before.inherits, part] : before.inherits.filter((each) => each !== part);
      return custom(before, { ...(isOn ? partOf(inherited, part) : {}), inherits });
    });
  return (
    <Group title={t(`rule.inherit.${inherited.scope}`)} isInherited={false}>
      <div className="flex flex-wrap gap-x-5 gap-y-1">
        {PARTS.map((part) => (
          <Tick key={part} label={t(`rule.part.${part}`)} isOn={body.inherits.includes(part)} onChange={(isOn) => toggle(part, isOn)} />
        ))}
      </div>
    </Group>
  );
}

/** The values a part has where it comes from. */
function partOf(rule: RuleDocument, part: RulePart): Partial<RuleBody> {
  if (part === 'steps') return { steps: rule.steps };
  if (part === 'stop') return { stop_share: rule.stop_share };
  if (part === 'give_up') return { give_up_price: rule.give_up_price };
  if (part === 'limits') return { limits: rule.limits };
  return { sources: rule.sources, shortage: rule.shortage, shortage_reduce: rule.shortage_reduce };
}

function Limits({ body, onEdit }: { body: RuleBody; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const { limits } = body;
  const sats = (name: 'account_sats' | 'account_day_sats'): ReactNode => (
    <Line name={t(`rule.field.${name}`)}>
      <EditableFigure
        label={t(`rule.field.${name}`)}
        text={formatSats(limits[name])}
        parse={optional(parseSats)}
        onChange={({ value }) => onEdit((before) => withLimits(before, { [name]: value }))}
      />
    </Line>
  );
  return (
    <>
      <Line name={t('rule.field.limit')}>
        {limits.position_sats === null && limits.position_margins !== null ? (
          <span className="font-medium text-text">{t('rule.times_margin', { times: String(limits.position_margins) })}</span>
        ) : (
          <span className="font-medium text-text">{formatSats(limits.position_sats)}</span>
        )}
      </Line>
      <Line name={t('rule.field.count')}>
        <EditableFigure
          label={t('rule.field.count')}
          text={String(limits.max_count ?? '–')}
          parse={optional(parseCount)}
          onChange={({ value }) => onEdit((before) => withLimits(before, { max_count: value }))}
        />
      </Line>
      {sats('account_day_sats')}
      {sats('account_sats')}
      <Line name={t('rule.field.reserve')}>
        <EditableFigure
          label={t('rule.field.reserve')}
          text={formatSats(limits.reserve_sats)}
          parse={parseSats}
          onChange={(value) => onEdit((before) => withLimits(before, { reserve_sats: value }))}
        />
      </Line>
    </>
  );
}

function Funding({ body, onEdit }: { body: RuleBody; onEdit: (change: Edit) => void }): ReactNode {
  const { t } = useTranslation();
  const label = t('rule.field.shortage');
  return (
    <>
      {SOURCES.map((source) => (
        <Tick
          key={source}
          label={t(`rule.source.${source}`)}
          isOn={body.sources.includes(source)}
          isFixed={source === 'balance'}
          onChange={(isOn) => onEdit((before) => custom(before, { sources: SOURCES.filter((each) => (each === source ? isOn : before.sources.includes(each))) }))}
        />
      ))}
      <Line name={label}>
        <Select
          label={label}
          className="h-7 text-xs"
          value={body.shortage}
          options={SHORTAGES.map((value) => ({ value, label: t(`rule.shortage.${value}`) }))}
          onChange={(shortage) => onEdit((before) => custom(before, { shortage }))}
        />
      </Line>
      {body.shortage === 'reduce' && (
        <Line name={t('rule.field.shortage_reduce')}>
          <EditableFigure
            label={t('rule.field.shortage_reduce')}
            text={formatRatio(body.shortage_reduce.share, 0)}
            parse={parseShare}
            onChange={(share) => onEdit((before) => custom(before, { shortage_reduce: { ...before.shortage_reduce, share } }))}
          />
        </Line>
      )}
    </>
  );
}

function Group({ title, isInherited, children }: { title: string; isInherited: boolean; children: ReactNode }): ReactNode {
  const { t } = useTranslation();
  return (
    <fieldset disabled={isInherited} className={isInherited ? 'opacity-60' : undefined}>
      <legend className="mb-1.5 text-xs font-semibold text-text">
        {title} {isInherited && <span className="font-normal text-faint">({t('rule.inherited')})</span>}
      </legend>
      <div className="space-y-1.5">{children}</div>
    </fieldset>
  );
}

function Line({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <div className="flex items-baseline justify-between gap-3">
      <span>{name}</span>
      {children}
    </div>
  );
}

function Tick({ label, isOn, onChange, isFixed = false }: { label: string; isOn: boolean; onChange: (isOn: boolean) => void; isFixed?: boolean }): ReactNode {
  const id = useId();
  return (
    <label htmlFor={id} className="flex items-center gap-2">
      <input id={id} type="checkbox" checked={isOn} disabled={isFixed} onChange={(event) => onChange(event.target.checked)} className="accent-info" />
      {label}
    </label>
  );
}

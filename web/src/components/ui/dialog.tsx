import { X } from 'lucide-react';
import { Dialog as Primitive } from 'radix-ui';
import type { ComponentProps, ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { cn } from '@/lib/cn';

export const Dialog = Primitive.Root;
export const DialogTrigger = Primitive.Trigger;
export const DialogClose = Primitive.Close;

function Overlay(): ReactNode {
  return <Primitive.Overlay className="fixed inset-0 z-40 animate-fade-in bg-black/55" />;
}

function CloseCorner(): ReactNode {
  const { t } = useTranslation();
  return (
    <Primitive.Close
      aria-label={t('common.close')}
      className="absolute top-3 right-3 grid size-8 place-items-center rounded-md text-faint hover:bg-raised hover:text-text"
    >
      <X className="size-4" />
    </Primitive.Close>
  );
}

export function DialogContent({ className, children, ...props }: ComponentProps<typeof Primitive.Content>): ReactNode {
  return (
    <Primitive.Portal>
      <Overlay />
      <Primitive.Content
        data-slot="dialog"
        className={cn(
          'fixed top-1/2 left-1/2 z-50 max-h-[90dvh] w-[min(28rem,calc(100vw-2rem))] -translate-x-1/2 -translate-y-1/2 animate-fade-in overflow-y-auto rounded-xl border border-line bg-card p-5',
          className,
        )}
        {...props}
      >
        {children}
        <CloseCorner />
      </Primitive.Content>
    </Primitive.Portal>
  );
}

/** A drawer at the right edge; a sheet from below on phones. */
export function SheetContent({
  className,
  children,
  overlay = true,
  ...props
}: ComponentProps<typeof Primitive.Content> & { overlay?: boolean }): ReactNode {
  return (
    <Primitive.Portal>
      {overlay && <Overlay />}
      <Primitive.Content
        data-slot="sheet"
        className={cn(
          'scrollbar-thin fixed inset-x-0 bottom-0 z-50 max-h-[82dvh] animate-slide-in-up overflow-y-auto rounded-t-xl border-t border-line bg-card p-5 md:inset-x-auto md:inset-y-0 md:right-0 md:max-h-none md:w-[26.5rem] md:animate-slide-in-right md:rounded-none md:border-t-0 md:border-l',
          className,
        )}
        {...props}
      >
        {children}
        <CloseCorner />
      </Primitive.Content>
    </Primitive.Portal>
  );
}

export function DialogTitle({ className, ...props }: ComponentProps<typeof Primitive.Title>): ReactNode {
  return <Primitive.Title className={cn('pr-8 text-base font-semibold text-text', className)} {...props} />;
}

export function DialogDescription({ className, ...props }: ComponentProps<typeof Primitive.Description>): ReactNode {
  return <Primitive.Description className={cn('mt-1.5 text-sm text-muted', className)} {...props} />;
}

export function DialogFooter({ className, ...props }: ComponentProps<'div'>): ReactNode {
  return <div className={cn('mt-5 flex flex-wrap justify-end gap-2', className)} {...props} />;
}

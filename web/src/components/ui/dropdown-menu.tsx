import { DropdownMenu as Primitive } from 'radix-ui';
import type { ComponentProps, ReactNode } from 'react';
import { cn } from '@/lib/cn';

export const DropdownMenu = Primitive.Root;
export const DropdownMenuTrigger = Primitive.Trigger;
export const DropdownMenuRadioGroup = Primitive.RadioGroup;

export function DropdownMenuContent({ className, ...props }: ComponentProps<typeof Primitive.Content>): ReactNode {
  return (
    <Primitive.Portal>
      <Primitive.Content
        sideOffset={6}
        align="end"
        collisionPadding={8}
        className={cn('z-50 min-w-44 animate-fade-in rounded-lg border border-line bg-card p-1', className)}
        {...props}
      />
    </Primitive.Portal>
  );
}

const item =
  'flex min-h-9 cursor-pointer items-center gap-2 rounded-md px-2.5 py-1.5 text-sm text-text outline-none select-none data-[disabled]:cursor-not-allowed data-[disabled]:opacity-45 data-[highlighted]:bg-raised [&_svg]:size-4 [&_svg]:text-faint';

export function DropdownMenuItem({ className, ...props }: ComponentProps<typeof Primitive.Item>): ReactNode {
  return <Primitive.Item className={cn(item, className)} {...props} />;
}

export function DropdownMenuRadioItem({
  className,
  children,
  ...props
}: ComponentProps<typeof Primitive.RadioItem>): ReactNode {
  return (
    <Primitive.RadioItem className={cn(item, 'justify-between data-[state=checked]:font-semibold', className)} {...props}>
      {children}
      <Primitive.ItemIndicator className="size-1.5 rounded-full bg-info" />
    </Primitive.RadioItem>
  );
}

export function DropdownMenuLabel({ className, ...props }: ComponentProps<typeof Primitive.Label>): ReactNode {
  return <Primitive.Label className={cn('px-2.5 py-1.5 text-xs text-faint', className)} {...props} />;
}

export function DropdownMenuSeparator(): ReactNode {
  return <Primitive.Separator className="-mx-1 my-1 h-px bg-line" />;
}

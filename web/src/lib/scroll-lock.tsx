import { Slot } from 'radix-ui';
import { useEffect, type ReactNode, type Ref } from 'react';

interface RemoveScrollProps {
  children?: ReactNode;
  enabled?: boolean;
  as?: unknown;
  shards?: unknown;
  allowPinchZoom?: boolean;
  forwardProps?: boolean;
  ref?: Ref<HTMLElement>;
}

let locks = 0;

/** Stands in for react-remove-scroll inside Radix dialogs: one class on the page instead of a style tag. */
export function RemoveScroll({ children, enabled = true, ref }: RemoveScrollProps): ReactNode {
  useEffect(() => {
    if (!enabled) return undefined;
    locks += 1;
    document.documentElement.classList.add('scroll-locked');
    return () => {
      locks -= 1;
      if (locks === 0) document.documentElement.classList.remove('scroll-locked');
    };
  }, [enabled]);
  return <Slot.Root ref={ref}>{children}</Slot.Root>;
}
RemoveScroll.classNames = { fullWidth: '', zeroRight: '' };

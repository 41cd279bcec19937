/** Places labels at the right edge of a chart so that none overlaps another and all stay inside. */

export interface LabelWish {
  id: string;
  /** Wanted centre, px from the top; may lie outside the chart. */
  y: number;
  height: number;
}
export interface LabelPlace {
  id: string;
  /** Centre after stacking, px from the top. */
  y: number;
  /** The wish lay above or below the chart: the label carries an arrow. */
  beyond: 'above' | 'below' | null;
}

/**
 * Return the nearest non-overlapping centres, in the order of the wishes' y.
 *
 * Pool-adjacent-violators: overlapping neighbours become a block that sits at the mean of its wishes,
 * and blocks merge until none overlap; then the stack is pushed back inside [0, height].
 */
export function stackLabels(wishes: readonly LabelWish[], height: number, gap = 2): LabelPlace[] {
  const sorted = [...wishes].sort((a, b) => a.y - b.y || a.id.localeCompare(b.id));
  interface Block {
    items: LabelWish[];
    top: number;
    size: number;
  }
  const blocks: Block[] = [];
  for (const wish of sorted) {
    const size = wish.height + gap;
    let block: Block = { items: [wish], top: clamp(wish.y, 0, height) - size / 2, size };
    let before = blocks.at(-1);
    while (before && before.top + before.size > block.top) {
      blocks.pop();
      const weight = before.items.length + block.items.length;
      const items = [...before.items, ...block.items];
      // Shift that minimises the squared distance of every member from its own wish.
      const target = (before.top * before.items.length + (block.top - before.size) * block.items.length) / weight;
      block = { items, top: target, size: before.size + block.size };
      before = blocks.at(-1);
    }
    blocks.push(block);
  }
  keepInside(blocks, height);
  return blocks.flatMap((block) => {
    let y = block.top;
    return block.items.map((item) => {
      const centre = y + (item.height + gap) / 2;
      y += item.height + gap;
      const beyond = item.y < 0 ? ('above' as const) : item.y > height ? ('below' as const) : null;
      return { id: item.id, y: centre, beyond };
    });
  });
}

function keepInside(blocks: { top: number; size: number }[], height: number): void {
  let floor = 0;
  for (const block of blocks) {
    block.top = Math.max(block.top, floor);
    floor = block.top + block.size;
  }
  let ceiling = height;
  for (const block of [...blocks].reverse()) {
    block.top = Math.min(block.top, ceiling - block.size);
    ceiling = block.top;
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** The imperative island around lightweight-charts: created once, fed through methods, disposed on unmount. */
import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChart,
  type IChartApi,
  type ISeriesApi,
  type LogicalRange,
} from 'lightweight-charts';
import { formatPrice } from '@/lib/units';
import { barsChange, chartTime, rangeWithLines, type Bar, type ChartLine, type ChartMark } from './chart-shape';
import { LinesPrimitive, type ChartColors } from './lines-primitive';

export interface ChartLayout {
  height: number;
  width: number;
  lines: Record<string, number>;
  marks: Record<string, { x: number; y: number }>;
}

const LEAD_BARS = 8;
const LEAST_BARS = 95;
const MOST_BARS = 900;
const AHEAD_BARS = 3;

/** Charts of one group scroll together. */
const groups = new Map<string, Set<PriceChartIsland>>();

export class PriceChartIsland {
  private readonly chart: IChartApi;
  private readonly series: ISeriesApi<'Candlestick'>;
  private readonly primitive: LinesPrimitive;
  private readonly onLayout: (layout: ChartLayout) => void;
  private readonly group: string;
  private readonly container: HTMLElement;
  private bars: readonly Bar[] = [];
  private marks: readonly ChartMark[] = [];
  private frame: number | null = null;
  private isFollowing = false;
  /** Where the reader scrolled to stays; otherwise the chart follows the market. */
  private isScrolled = false;

  constructor(options: {
    container: HTMLElement;
    colors: ChartColors;
    group: string;
    hasScale: boolean;
    onLayout: (layout: ChartLayout) => void;
  }) {
    this.container = options.container;
    this.onLayout = options.onLayout;
    this.group = options.group;
    this.chart = createChart(options.container, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: 'Inter Variable, sans-serif', fontSize: 11 },
      leftPriceScale: { visible: options.hasScale, borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.08 } },
      rightPriceScale: { visible: false, scaleMargins: { top: 0.08, bottom: 0.08 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: true, rightOffset: 3, barSpacing: 3.2, minBarSpacing: 0.4 },
      crosshair: { mode: CrosshairMode.Magnet },
      handleScroll: { vertTouchDrag: false, mouseWheel: false },
      handleScale: { mouseWheel: false, axisPressedMouseMove: { time: true, price: false } },
      localization: { priceFormatter: (price: number) => formatPrice(price) },
    });
    this.series = this.chart.addSeries(CandlestickSeries, {
      priceScaleId: options.hasScale ? 'left' : 'right',
      lastValueVisible: false,
      priceLineVisible: false,
      borderVisible: false,
      priceFormat: { type: 'price', precision: 1, minMove: 0.5 },
      autoscaleInfoProvider: (original: () => { priceRange: { minValue: number; maxValue: number } | null } | null) => {
        const info = original();
        if (!info?.priceRange) return info;
        return { ...info, priceRange: rangeWithLines(info.priceRange, this.primitive.lines, this.primitive.alsoShow) };
      },
    });
    this.primitive = new LinesPrimitive(options.colors, () => this.scheduleLayout());
    this.series.attachPrimitive(this.primitive);
    this.setColors(options.colors);
    const members = groups.get(this.group) ?? new Set();
    groups.set(this.group, members.add(this));
    this.container.addEventListener('pointerdown', this.onPointer);
    this.container.addEventListener('dblclick', this.onDoubleClick);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(this.onRange);
  }

  setColors(colors: ChartColors): void {
    this.primitive.colors = colors;
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: 'transparent' }, textColor: colors.text },
      grid: { vertLines: { visible: false }, horzLines: { color: colors.grid } },
      crosshair: {
        vertLine: { color: colors.border, labelBackgroundColor: colors.border },
        horzLine: { color: colors.border, labelBackgroundColor: colors.border },
      },
    });
    this.series.applyOptions({ upColor: colors.up, downColor: colors.down, wickUpColor: colors.up, wickDownColor: colors.down });
  }

  setBars(bars: readonly Bar[], since: string | null): void {
    const change = barsChange(this.bars, bars);
    const known = this.bars.length;
    this.bars = bars;
    this.primitive.bars = bars;
    if (change === 'all') this.series.setData([...bars]);
    else if (change === 'tail') for (const bar of bars.slice(Math.max(0, known - 1))) this.series.update(bar);
    if (!this.isScrolled) this.follow(since);
  }

  /** Shows the newest bars, back to a little before `since` while that is not too long ago. */
  private follow(since: string | null): void {
    const last = this.bars.length - 1;
    if (last < 0) return;
    const start = since === null ? last : this.bars.findIndex((bar) => bar.time >= chartTime(since));
    const from = start < 0 ? last : start - LEAD_BARS;
    const shown = Math.min(MOST_BARS, Math.max(LEAST_BARS, last - from));
    this.chart.timeScale().setVisibleLogicalRange({ from: last - shown, to: last + AHEAD_BARS });
  }

  setLines(lines: readonly ChartLine[], alsoShow: readonly number[]): void {
    this.primitive.lines = lines;
    this.primitive.alsoShow = alsoShow;
    this.primitive.refresh();
    // A new line may widen the scale, which is computed anew only when the series' options are applied.
    this.series.applyOptions({});
  }

  setMarks(marks: readonly ChartMark[]): void {
    this.marks = marks;
    this.primitive.refresh();
  }

  priceAt(clientY: number): number | null {
    const top = this.container.getBoundingClientRect().top;
    return this.series.coordinateToPrice(clientY - top);
  }

  private readonly onPointer = (): void => {
    this.isScrolled = true;
  };

  private readonly onDoubleClick = (): void => {
    this.isScrolled = false;
  };

  dispose(): void {
    this.container.removeEventListener('pointerdown', this.onPointer);
    this.container.removeEventListener('dblclick', this.onDoubleClick);
    if (this.frame !== null) cancelAnimationFrame(this.frame);
    groups.get(this.group)?.delete(this);
    this.chart.remove();
  }

  private readonly onRange = (range: LogicalRange | null): void => {
    if (this.isFollowing || range === null) return;
    for (const other of groups.get(this.group) ?? []) {
      if (other === this || other.bars.length !== this.bars.length) continue;
      other.isFollowing = true;
      other.chart.timeScale().setVisibleLogicalRange(range);
      other.isFollowing = false;
    }
  };

  private scheduleLayout(): void {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.onLayout(this.layout());
    });
  }

  private layout(): ChartLayout {
    const pane = this.chart.paneSize();
    const left = this.chart.priceScale('left').width();
    const lines: ChartLayout['lines'] = {};
    for (const line of this.primitive.lines) {
      const y = this.series.priceToCoordinate(line.price);
      if (y !== null) lines[line.id] = y;
    }
    const marks: ChartLayout['marks'] = {};
    for (const mark of this.marks) {
      const x = this.primitive.xAt(mark.at);
      const y = this.series.priceToCoordinate(mark.price);
      if (x !== null && y !== null && x >= 0 && x <= pane.width) marks[mark.id] = { x: x + left, y };
    }
    return { height: pane.height, width: pane.width + left, lines, marks };
  }
}

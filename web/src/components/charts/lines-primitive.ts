/** Draws the lines of a trade on the chart's canvas, in step with every frame of the chart. */
import type { IChartApi, IPrimitivePaneRenderer, ISeriesApi, ISeriesPrimitive, SeriesAttachedParameter } from 'lightweight-charts';
import { barTimeAt, chartTime, type Bar, type ChartLine, type LineKind } from './chart-shape';

export type ChartColors = Record<LineKind | 'text' | 'grid' | 'border' | 'up' | 'down' | 'accent', string>;

const DASH: Record<LineKind, number[]> = {
  entry: [1, 3],
  liquidation: [],
  warn: [5, 4],
  top_up: [],
  reduce: [8, 3],
  close: [8, 3],
  give_up: [2, 3],
  stop: [],
  take_profit: [5, 4],
  conflict: [2, 2],
  what_if: [1, 2],
};
const WIDTH: Record<LineKind, number> = { entry: 1, liquidation: 1.75, warn: 1, top_up: 1.25, reduce: 1.25, close: 1.25, give_up: 1.25, stop: 1.25, take_profit: 1, conflict: 1.5, what_if: 1.5 };

export class LinesPrimitive implements ISeriesPrimitive {
  lines: readonly ChartLine[] = [];
  bars: readonly Bar[] = [];
  /** Prices the scale includes though no line of this chart stands there (those of the chart beside it). */
  alsoShow: readonly number[] = [];
  colors: ChartColors;
  private chart: IChartApi | null = null;
  private series: ISeriesApi<'Candlestick'> | null = null;
  private requestUpdate: () => void = () => undefined;
  private readonly onDrawn: () => void;

  constructor(colors: ChartColors, onDrawn: () => void) {
    this.colors = colors;
    this.onDrawn = onDrawn;
  }

  attached(parameter: SeriesAttachedParameter): void {
    this.chart = parameter.chart;
    this.series = parameter.series as ISeriesApi<'Candlestick'>;
    this.requestUpdate = parameter.requestUpdate;
  }

  detached(): void {
    this.chart = null;
    this.series = null;
  }

  refresh(): void {
    this.requestUpdate();
  }

  updateAllViews(): void {
    this.onDrawn();
  }

  /** Horizontal place of a time, px, or null while there are no bars. */
  xAt(iso: string): number | null {
    const time = barTimeAt(this.bars, chartTime(iso));
    return time === null ? null : (this.chart?.timeScale().timeToCoordinate(time) ?? null);
  }

  paneViews(): readonly { zOrder: () => 'bottom'; renderer: () => IPrimitivePaneRenderer }[] {
    return [{ zOrder: () => 'bottom', renderer: () => ({ draw: (target) => this.draw(target) }) }];
  }

  private draw(target: Parameters<IPrimitivePaneRenderer['draw']>[0]): void {
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      // Liquidation last, so that nothing covers it.
      const ordered = [...this.lines].sort((a, b) => Number(a.kind === 'liquidation') - Number(b.kind === 'liquidation'));
      for (const line of ordered) this.drawLine(context, line, mediaSize.width);
    });
  }

  private drawLine(context: CanvasRenderingContext2D, line: ChartLine, width: number): void {
    const { series } = this;
    const y = series?.priceToCoordinate(line.price);
    if (!series || y === null || y === undefined) return;
    context.save();
    context.strokeStyle = this.colors[line.kind];
    context.lineWidth = WIDTH[line.kind];
    context.globalAlpha = line.isMuted ? 0.4 : 1;
    context.setLineDash(DASH[line.kind]);
    let from = line.startsAt ? (this.xAt(line.startsAt) ?? 0) : 0;
    for (const level of line.past ?? []) {
      const until = this.xAt(level.until);
      const pastY = series.priceToCoordinate(level.price);
      if (until === null || pastY === null) continue;
      stroke(context, [[from, pastY], [until, pastY]]);
      from = until;
    }
    const end = line.endsAt ? (this.xAt(line.endsAt) ?? width) : width;
    if (end > from) stroke(context, [[from, y], [end, y]]);
    this.drawTrails(context, line, y);
    context.restore();
  }

  /** The way of a moved line: dotted from each old level to the next, with an arrow head at the new one. */
  private drawTrails(context: CanvasRenderingContext2D, line: ChartLine, lastY: number): void {
    const past = line.past ?? [];
    past.forEach((level, index) => {
      const x = this.xAt(level.until);
      const fromY = this.series?.priceToCoordinate(level.price) ?? null;
      const next = past[index + 1];
      const toY = next ? (this.series?.priceToCoordinate(next.price) ?? null) : lastY;
      if (x === null || fromY === null || toY === null) return;
      context.setLineDash([2, 3]);
      stroke(context, [[x, fromY], [x, toY]]);
      context.setLineDash([]);
      const tip = toY > fromY ? -5 : 5;
      stroke(context, [[x - 3.5, toY + tip], [x, toY], [x + 3.5, toY + tip]]);
    });
  }
}

function stroke(context: CanvasRenderingContext2D, points: readonly (readonly [number, number])[]): void {
  context.beginPath();
  points.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  context.stroke();
}

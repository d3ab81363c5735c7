import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { HistoryView } from "../api.ts";
import { shown } from "../format.ts";
import { t, theme } from "../settings.ts";
import { useStore } from "../store.ts";

const HEIGHT = 240;

/** The last hour of a number: the band between least and greatest value of each step. */
export function Plot({ history, unit }: { history: HistoryView; unit: string | undefined }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const look = useStore(theme);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const made = new uPlot(optionsOf(element.clientWidth, unit), dataOf(history), element);
    plot.current = made;
    const sizes = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    sizes.observe(element);
    const system = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => made.redraw(false, false);
    system.addEventListener("change", redraw);
    return () => {
      system.removeEventListener("change", redraw);
      sizes.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [look, history.device, history.tag]);
  useEffect(() => plot.current?.setData(dataOf(history)), [history]);
  return <div class="plot" ref={box} role="img" aria-label={summary(history, unit)} />;
}

function dataOf({ from, stepMs, min, max }: HistoryView): uPlot.AlignedData {
  return [min.map((_, index) => (from + index * stepMs) / 1_000), [...min], [...max]];
}

/** What the plot shows, for who does not see it. */
function summary({ tag, min, max }: HistoryView, unit = ""): string {
  const least = Math.min(...min.filter((value) => value !== null));
  const most = Math.max(...max.filter((value) => value !== null));
  if (!Number.isFinite(least)) return t("{tag}: no values in the last hour", { tag });
  return t("{tag} in the last hour: between {least} and {most} {unit}", {
    tag,
    least: shown(least),
    most: shown(most),
    unit,
  });
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function optionsOf(width: number, unit: string | undefined): uPlot.Options {
  const axis = {
    stroke: () => inkOf("--muted"),
    grid: { stroke: () => inkOf("--line"), width: 1 },
    ticks: { stroke: () => inkOf("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
  };
  const label = unit === undefined ? "" : ` ${unit}`;
  const value = (_: uPlot, number: number | null) => (number === null ? "–" : `${shown(number)}${label}`);
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: true } },
    axes: [
      { ...axis, values: (_, splits) => splits.map(timeOf) },
      { ...axis, size: 64, values: (_, splits) => splits.map(shown) },
    ],
    series: [
      { label: t("Time"), value: (_, at: number | null) => (at === null ? "–" : timeOf(at)) },
      { label: t("least"), stroke: () => inkOf("--plot"), width: 1.5, points: { show: false }, value },
      { label: t("greatest"), stroke: () => inkOf("--plot"), width: 1.5, points: { show: false }, value },
    ],
    bands: [{ series: [2, 1], fill: () => inkOf("--plot-fill") }],
  };
}

function timeOf(at: number): string {
  return new Date(at * 1_000).toTimeString().slice(0, 8);
}

/** A colour of the style sheet as the canvas takes it: variables that stand for two schemes are resolved by an element. */
function inkOf(name: string): string {
  if (colour(name) === "") return "currentColor";
  probe.style.color = `var(${name})`;
  if (!probe.isConnected) document.body.append(probe);
  return getComputedStyle(probe).color;
}
const probe = document.createElement("span");
probe.hidden = true;

import type { LoadedLink } from "./config/types.ts";
import { isDerived } from "./core/derived.ts";
import type { Request } from "./core/driver.ts";
import type { Link } from "./southbound/link.ts";
import { type GroupPlan, predictLoad } from "./southbound/plan.ts";

/** The plan of a link for the API: what is asked, how long it should take and took, and what was learnt. Times are milliseconds. */
export function planReport({ driver, concurrency }: LoadedLink, link: Link): Record<string, unknown> {
  const groups = link.plan();
  const { name, state, loadPercent, devices } = link.status();
  return {
    link: name,
    state,
    predictedPercent: predictLoad(groups) / concurrency,
    measuredPercent: loadPercent,
    devices: devices.map((device) => ({
      device: device.name,
      state: device.state,
      measuredPercent: device.loadPercent,
      requests: device.requests,
      timeouts: device.timeouts,
      learnt: driver.learnt?.describe(groups.find((each) => each.group.device.name === device.name)?.learnt?.()) ?? [],
    })),
    groups: groups.map((plan) => groupOf(plan, link)),
  };
}

function groupOf({ group, requests }: GroupPlan, link: Link): Record<string, unknown> {
  const asked = new Set(requests.flatMap(({ tags }) => tags));
  return {
    device: group.device.name,
    group: group.name,
    everyMs: group.everyMs,
    busyMs: requests.reduce((sum, { busyMs, wireMs }) => sum + (busyMs ?? wireMs), 0),
    ...measuredSum(requests, link),
    requests: requests.map((request) => requestOf(request, link)),
    excluded: requests.flatMap(({ excluded = [] }) => excluded.map(({ tag, reason }) => ({ tag: tag.name, reason }))),
    unasked: group.tags.filter((tag) => !asked.has(tag) && !isDerived(tag)).map(({ name }) => name),
    derived: group.tags.filter(isDerived).map(({ name }) => name),
  };
}

function requestOf(request: Request, link: Link): Record<string, unknown> {
  const { label, tags, excluded = [], wireMs, busyMs = wireMs, addresses, spare } = request;
  const left = new Set(excluded.map(({ tag }) => tag));
  const took = link.tookOf(request);
  return {
    label,
    tags: tags.filter((tag) => !left.has(tag)).map(({ name }) => name),
    wireMs,
    busyMs,
    ...(addresses === undefined ? {} : { addresses }),
    ...(spare === undefined ? {} : { spare }),
    ...(took ? { answers: took.answers, measuredMs: took.meanMs, lastMs: took.lastMs, mostMs: took.mostMs } : {}),
  };
}

/** Of a whole run; absent until every request was answered. */
function measuredSum(requests: readonly Request[], link: Link): { measuredMs?: number } {
  const took = requests.map((request) => link.tookOf(request)?.meanMs);
  const known = took.filter((ms) => ms !== undefined);
  if (known.length === 0 || known.length < took.length) return {};
  return { measuredMs: known.reduce((sum, ms) => sum + ms, 0) };
}

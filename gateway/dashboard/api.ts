import type { z } from "zod";
import type { Scope } from "../accounts/roles.ts";
import type * as schemas from "../http/api/schemas.ts";

export type {
  ConfigCheck,
  ConfigCompletion,
  ConfigDiff,
  ConfigView,
  DeviceBrief,
  DeviceView,
  HistoryList,
  HistoryText,
  HistoryView,
  Interpretations,
  LinkBrief,
  LinkView,
  LogsView,
  Overview,
  PendingView,
  QueueView,
  ScanView,
  TagState,
  TagView,
  UplinkBrief,
  UplinkView,
  WriteView,
} from "../http/api/schemas.ts";
export type ConfigPlan = z.infer<typeof schemas.reloadPlan>;
export type Who = z.infer<typeof schemas.whoView>;
export type Session = z.infer<typeof schemas.sessionView>;
export type AuditView = z.infer<typeof schemas.auditView>;
export type AuditReport = z.infer<typeof schemas.auditReport>;
export type UsersView = z.infer<typeof schemas.usersView>;
export type TokensView = z.infer<typeof schemas.tokensView>;
export type NewToken = z.infer<typeof schemas.newToken>;
export type OwnSessionsView = z.infer<typeof schemas.ownSessionsView>;
export type RecordsView = z.infer<typeof schemas.recordsView>;
export type { Scope };

const PREFIX = "/api/v1";

/** What the gateway answered instead of what was asked; `message` is fit for a person. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let csrf = "";
let onLoggedOut: () => void = () => {};

/** The token of the session, for changes; and whom to tell when the session is over. */
export function useSession(token: string, loggedOut: () => void): void {
  csrf = token;
  onLoggedOut = loggedOut;
}

/** Path under /api/v1 of steps that may hold anything. */
export function pathOf(...steps: readonly string[]): string {
  return `/${steps.map(encodeURIComponent).join("/")}`;
}

/** @throws ApiError; status 0 when the gateway does not answer. */
export async function get<A>(path: string, signal?: AbortSignal): Promise<A> {
  return await (await ask(path, { method: "GET", ...(signal && { signal }) })).json();
}

/** @throws ApiError. */
export async function send<A>(path: string, body: unknown, method = "POST"): Promise<A> {
  return await (await ask(path, change(body, method))).json();
}

/** Has the browser save what is answered. @throws ApiError. */
export async function download(path: string, file: string, body?: unknown): Promise<void> {
  const response = await ask(path, body === undefined ? { method: "GET" } : change(body, "POST"));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function change(body: unknown, method: string): RequestInit {
  return {
    method,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
  };
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(PREFIX + path, { credentials: "same-origin", ...init }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "OFFLINE", "the gateway does not answer");
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401 && csrf !== "") onLoggedOut();
  throw new ApiError(response.status, String(problem.code ?? ""), String(problem.error ?? response.statusText));
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

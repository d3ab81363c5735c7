import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import type { Scope } from "../../accounts/roles.ts";
import type { Principal } from "../access.ts";

/** One request, checked. */
export interface Call<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly request: IncomingMessage;
  /** Absent where nobody has to be known. */
  readonly principal: Principal | undefined;
  /** Aborted when whoever asked is gone, or the gateway stops. */
  readonly signal: AbortSignal;
}

/** An answer that is not JSON. */
export interface Stream {
  readonly type: string;
  /** Name of the file a browser saves it as. */
  readonly file?: string;
  /** How long nothing may move before the connection is given up; a minute where absent. */
  readonly quietMs?: number;
  readonly pieces: AsyncIterable<Uint8Array | string>;
}

/** What a handler gives: the answer, with a cookie where it sets one. */
export interface Reply<A> {
  readonly answer: A;
  readonly cookie?: string;
}

/** Who may ask: somebody with a scope, anybody who is logged in, or anybody at all. */
export type Needs = Scope | "login" | "nothing";

/** One line of the API as it is described, with its handler. */
export interface Spec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, A extends z.ZodType> {
  readonly id: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Under /api/v1, with `{names}` of `params`. */
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  readonly needs: Needs;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** Greatest body; 64 KiB where absent. */
  readonly bodyBytes?: number;
  /** What is answered, of `type` JSON; absent for streams and for what the router answers itself. */
  readonly answer?: A;
  /** Media type of an answer that is not JSON. */
  readonly type?: string;
  readonly status?: 200 | 201 | 202;
  /** Undefined: there is no such thing. */
  readonly handle: (
    call: Call<z.output<P>, z.output<Q>, z.output<B>>,
  ) => Promise<Reply<z.output<A>> | Stream | undefined> | Reply<z.output<A>> | Stream | undefined;
}

/** A route whose types are no longer of interest: parameters and body are checked before its handler sees them. */
export interface Route extends Omit<Spec<z.ZodType, z.ZodType, z.ZodType, z.ZodType>, "handle"> {
  /** @throws ZodError for what does not fit. */
  readonly run: (call: Call<unknown, unknown, unknown>) => Promise<Reply<unknown> | Stream | undefined>;
}

export function route<
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
  A extends z.ZodType = z.ZodUndefined,
>(spec: Spec<P, Q, B, A>): Route {
  const { handle, ...described } = spec;
  const parse = <S extends z.ZodType>(schema: S | undefined, value: unknown) => schema?.parse(value) as z.output<S>;
  return {
    ...described,
    run: async (call) =>
      await handle({
        ...call,
        params: parse(spec.params, call.params),
        query: parse(spec.query, call.query),
        body: parse(spec.body, call.body),
      }),
  };
}

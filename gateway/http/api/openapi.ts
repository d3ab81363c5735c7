import { z } from "zod";
import type { SCOPES } from "../../accounts/roles.ts";
import { BODY_BYTES } from "../body.ts";
import type { Route } from "./route.ts";
import { problem } from "./schemas.ts";

type Json = Record<string, unknown>;

/** The API as an OpenAPI 3.1 document, made from the schemas by which requests are checked. */
export function openApi(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = `/api/v1${route.path}`;
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Millrace",
      version,
      description:
        "The API of a Millrace gateway. Programs send a token; people log in and have a session in a cookie, and send " +
        "X-CSRF-Token with every change. Errors are {error, code}. Times are Unix milliseconds.",
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "Made by an admin: POST /api/v1/tokens." },
        session: { type: "apiKey", in: "cookie", name: "millrace", description: "From POST /api/v1/login." },
      },
      schemas: { Problem: schemaOf(problem, "output") },
    },
  };
}

function operation(route: Route): Json {
  const { id, summary, tag, needs, params, query, body, bodyBytes = BODY_BYTES, method } = route;
  const secured = needs !== "nothing";
  const whoMay = needs === "login" ? "Anybody who is logged in." : `Scope ${needs}.`;
  return {
    operationId: id,
    summary,
    tags: [tag],
    ...(secured ? { description: whoMay, "x-scope": needs } : {}),
    security: secured ? [{ token: [] }, { session: [] }] : [],
    parameters: [
      ...parametersOf(params, "path"),
      ...parametersOf(query, "query"),
      ...(secured && method !== "GET"
        ? [
            {
              name: "X-CSRF-Token",
              in: "header",
              required: false,
              description: "With a session: `csrf` of it.",
              schema: { type: "string" },
            },
          ]
        : []),
    ],
    ...(body && {
      requestBody: {
        required: true,
        description: `At most ${bodyBytes} bytes.`,
        content: { "application/json": { schema: schemaOf(body, "input") } },
      },
    }),
    responses: responsesOf(route),
  };
}

function responsesOf({ answer, type, status = 200, needs, params, body, method }: Route): Json {
  const refused = (description: string) => ({
    description,
    content: { "application/json": { schema: { $ref: "#/components/schemas/Problem" } } },
  });
  const content = answer
    ? { "application/json": { schema: schemaOf(answer, "output") } }
    : { [type ?? "application/octet-stream"]: { schema: { type: "string" } } };
  return {
    [String(status)]: { description: "Done.", content },
    "400": refused("The request is not understood."),
    ...(needs === "nothing" ? {} : { "401": refused("Nobody is logged in.") }),
    "403": refused(`Not allowed${method === "GET" ? "" : ", from another origin, or without X-CSRF-Token"}.`),
    ...(params ? { "404": refused("There is no such thing.") } : {}),
    ...(body
      ? {
          "413": refused("The body is too long."),
          "415": refused("The body is no JSON."),
          "422": refused("It is understood, and refused: the reason names the line, tag or device."),
        }
      : {}),
    ...(method === "GET"
      ? {}
      : { "409": refused("It does not fit the present state."), "429": refused("Too many failures.") }),
  };
}

function parametersOf(schema: z.ZodType | undefined, place: "path" | "query"): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  const { properties = {}, required = [] } = schemaOf(schema, "input") as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: "draft-2020-12", io, unrepresentable: "any" });
  return json;
}

/** What the scopes are for, for the docs. */
export const SCOPE_WORDS: Readonly<Record<(typeof SCOPES)[number], string>> = {
  read: "see values, queue, uplinks",
  operate: "write tags, see the log",
  configure: "configuration, wizard, recordings of lines",
  administer: "users, tokens, audit trail",
};

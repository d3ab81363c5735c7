import { type IncomingMessage, request } from "node:http";

export const PASSWORD = "correct horse battery";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** Undefined where it is no JSON. */
  readonly json: Record<string, unknown>;
}

export interface Asked {
  readonly method?: string;
  readonly body?: unknown;
  /** Instead of `body`, as it is. */
  readonly raw?: string | Buffer;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/** Somebody who asks the API, as a browser does: with a cookie, its origin and the token against CSRF, once logged in. */
export class Client {
  readonly #port: number;
  cookie = "";
  csrf = "";

  constructor(port: number) {
    this.#port = port;
  }

  async ask(path: string, { method, body, raw, headers = {} }: Asked = {}): Promise<Reply> {
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const verb = method ?? (sent === undefined ? "GET" : "POST");
    const all: Record<string, string | undefined> = {
      ...(this.cookie === "" ? {} : { cookie: this.cookie }),
      ...(verb === "GET" ? {} : { origin: `http://127.0.0.1:${this.#port}`, "x-csrf-token": this.csrf }),
      ...(sent === undefined
        ? {}
        : { "content-type": "application/json", "content-length": String(Buffer.byteLength(sent)) }),
      ...headers,
    };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== ""));
    return await new Promise<Reply>((resolve, reject) => {
      const asked = request(
        { host: "127.0.0.1", port: this.#port, path, method: verb, headers: given, agent: false },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk) => {
            text += chunk;
          });
          response.once("error", reject);
          response.once("end", () => {
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: jsonOf(text) });
          });
        },
      );
      asked.once("error", reject);
      asked.end(sent);
    });
  }

  async login(user: string, password: string): Promise<Reply> {
    return this.#begin(await this.ask("/api/v1/login", { body: { user, password } }));
  }

  async setup(token: string, user: string): Promise<Reply> {
    return this.#begin(await this.ask("/api/v1/setup", { body: { token, user, password: PASSWORD } }));
  }

  #begin(reply: Reply): Reply {
    if (reply.status < 300) {
      this.cookie = reply.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
      this.csrf = String(reply.json["csrf"]);
    }
    return reply;
  }
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

import { access, constants, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { BrokerOptions, Grants, ListenerOptions, UserOptions } from "../core/options/broker.ts";
import { parsePasswordHash } from "../core/password-hash.ts";
import { checkTopicFilter, isReservedTopic } from "../core/selector.ts";
import type { Faults, Path } from "./faults.ts";
import { uniqueNames } from "./sections.ts";

/** Who reaches the embedded broker, and what for. */

export const LOOPBACK = /^(localhost|::1|127(\.\d{1,3}){3})$/;
const USERS = ["broker", "users"] as const;

export function checkBroker(broker: BrokerOptions, faults: Faults): void {
  if (broker.external) return;
  for (const [index, listener] of broker.listeners.entries()) checkListener(listener, index, broker, faults);
  checkUsers(broker, faults);
  if (broker.anonymous) checkGrants(broker.anonymous, ["broker", "anonymous"], faults);
  const { minKeepalive, maxKeepalive } = broker.limits;
  if (minKeepalive > maxKeepalive) {
    faults.add(["broker", "limits", "minKeepalive"], 'is longer than "maxKeepalive"; make it shorter');
  }
}

function checkListener(listener: ListenerOptions, index: number, { users }: BrokerOptions, faults: Faults): void {
  const path = ["broker", "listeners", index];
  const { type, host, cert, key, ca, requireClientCert, path: place, origins } = listener;
  const isSecure = type === "tls" || type === "wss";
  const isWeb = type === "ws" || type === "wss";
  if (!LOOPBACK.test(host) && users.length === 0) {
    const cure = 'add "users" to broker, or use 127.0.0.1 or ::1';
    faults.add([...path, "host"], `"${host}" is not loopback, and without users every client is anonymous; ${cure}`);
  } else if (!LOOPBACK.test(host) && !isSecure) {
    const cure = `use type ${isWeb ? "wss" : "tls"}, unless the network is closed`;
    faults.warn([...path, "host"], `passwords and messages cross the network in clear; ${cure}`);
  }
  if (isSecure && (cert === undefined || key === undefined)) {
    faults.add([...path, "type"], `${type} needs a certificate: cert and key, two PEM files`);
  }
  const onlySecure = { cert, key, ca, requireClientCert: requireClientCert || undefined };
  for (const [name, value] of isSecure ? [] : Object.entries(onlySecure)) {
    if (value !== undefined) faults.add([...path, name], "is only used with type tls and wss");
  }
  if (requireClientCert && isSecure && ca === undefined) {
    faults.add(
      [...path, "requireClientCert"],
      'needs "ca", the PEM file of the authorities that clients are trusted by',
    );
  }
  for (const [name, value] of isWeb ? [] : Object.entries({ path: place, origins: origins[0] })) {
    if (value !== undefined) faults.add([...path, name], "is only used with type ws and wss");
  }
}

function checkUsers({ users, listeners }: BrokerOptions, faults: Faults): void {
  uniqueNames(
    users.map(({ name }, index) => ({ name, path: [...USERS, index, "name"] })),
    "in broker.users",
    faults,
  );
  const hasCertificates = listeners.some(({ ca }) => ca !== undefined);
  for (const [index, user] of users.entries()) {
    if (user.password === undefined && !hasCertificates) {
      const cure = "give it a password (millrace passwd makes the hash), or a listener with ca";
      faults.addMissing(
        [...USERS, index],
        "password",
        `${user.name} cannot log in: no password and no certificates; ${cure}`,
      );
    }
    checkGrants(user, [...USERS, index], faults);
    if (user.publish.length === 0 && user.subscribe.length === 0) {
      faults.warn([...USERS, index], `${user.name} may do nothing: what is not in publish or subscribe is denied`);
    }
  }
}

function checkGrants(grants: Grants, path: Path, faults: Faults): void {
  for (const list of ["publish", "subscribe", "deny"] as const) {
    for (const [at, filter] of grants[list].entries()) checkGrant(filter, list, [...path, list, at], faults);
  }
}

function checkGrant(filter: string, list: keyof Grants, path: Path, faults: Faults): void {
  const unknown = /%(?![uc]).?/.exec(filter)?.[0];
  if (unknown !== undefined) {
    faults.add(path, `"${unknown}" is no placeholder; %u is the user name, %c the client id`);
    return;
  }
  if (list === "deny" && filter.includes("%")) {
    faults.add(path, "deny takes no placeholders; name the topics");
    return;
  }
  if (list === "publish" && isReservedTopic(filter)) {
    faults.add(path, "these topics belong to the broker, and no client may publish there; remove it");
    return;
  }
  try {
    checkTopicFilter(filter.replaceAll(/%[uc]/g, "x"));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    faults.add(path, `${error.message}; write a filter such as plant/+/temperature or plant/#`);
  }
}

/** Warns of certificates and password hashes that cannot be read on this machine. */
export async function checkBrokerFiles(broker: BrokerOptions, folder: string, faults: Faults): Promise<void> {
  if (broker.external) return;
  for (const [index, { cert, key, ca }] of broker.listeners.entries()) {
    for (const [name, file] of Object.entries({ cert, key, ca })) {
      if (file === undefined || (await isReadable(resolve(folder, file)))) continue;
      const path = ["broker", "listeners", index, name];
      faults.warn(path, `${file} cannot be read here; it is looked for in ${folder}`);
    }
  }
  for (const [index, user] of broker.users.entries()) {
    const file = await hashFileOf(user, folder);
    if (file === undefined) continue;
    const cure = `make one with: millrace passwd > ${file}`;
    faults.warn([...USERS, index, "password"], `${file} holds no password hash; ${cure}`);
  }
}

/** The file of a password that is there and holds no hash. */
async function hashFileOf({ password }: UserOptions, folder: string): Promise<string | undefined> {
  if (typeof password !== "object" || !("file" in password)) return undefined;
  try {
    const text = await readFile(resolve(folder, password.file), "utf8");
    return parsePasswordHash(text.trim()) ? undefined : password.file;
  } catch {
    // That it is missing is told with the other secrets.
    return undefined;
  }
}

function isReadable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

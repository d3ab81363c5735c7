import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as schemas from "../../gateway/http/api/schemas.ts";
import { type Front, startFront } from "./front.ts";

let front: Front;
beforeEach(async () => {
  front = await startFront();
});
afterEach(() => front.stop());

describe("sessions", () => {
  it("are listed for whom they belong to, without a way in, and are ended by nobody else", async () => {
    const [ben, eva] = [await front.as("viewer"), await front.as("viewer")];
    const there = front.client();
    await there.login("viewer-1", "a long enough one");
    const { json, text } = await ben.ask("/api/v1/sessions");
    const listed = schemas.ownSessionsView.parse(json).sessions;
    expect(listed.map(({ address, own }) => [address, own])).toEqual([
      ["127.0.0.1", true],
      ["127.0.0.1", false],
    ]);
    for (const way of [ben.cookie, there.cookie, ben.csrf, there.csrf])
      expect(text).not.toContain(way.split("=").at(-1));
    const other = `/api/v1/sessions/${listed[1]?.id}`;
    expect((await eva.ask(other, { method: "DELETE" })).status).toBe(404);
    expect((await ben.ask(other, { method: "DELETE", headers: { "x-csrf-token": "x" } })).status).toBe(403);
    expect((await there.ask("/api/v1/overview")).status).toBe(200);
    expect((await ben.ask(other, { method: "DELETE" })).status).toBe(200);
    expect((await there.ask("/api/v1/overview")).status).toBe(401);
    expect((await ben.ask("/api/v1/overview")).status).toBe(200);
    expect(front.events.at(-1)).toMatchObject({ actor: "viewer-1", action: "session.end", outcome: "ok" });
    const { text: made } = await front.accounts.addToken("scada", ["read"], "first");
    const program = await front.client().ask("/api/v1/sessions", { headers: { authorization: `Bearer ${made}` } });
    expect(program.json).toEqual({ sessions: [] });
  });

  it("are counted for an admin, with where a user is locked out", async () => {
    const admin = await front.as("admin");
    for (let attempt = 0; attempt < 5; attempt++) await front.client().login("first", "a wrong one, at length");
    const users = async () => schemas.usersView.parse((await admin.ask("/api/v1/users")).json).users;
    expect(await users()).toMatchObject([
      { name: "first", sessions: 0, locked: [{ address: "127.0.0.1", forMs: 30_000 }] },
      { name: "admin-1", sessions: 1, locked: [] },
    ]);
    front.wait(30_001);
    expect((await users())[0]).toMatchObject({ name: "first", locked: [] });
  });

  it("an admin lets a user who is locked out try again at once, and nobody else does", async () => {
    const admin = await front.as("admin");
    const operator = await front.as("operator");
    const somebody = front.client();
    for (let attempt = 0; attempt < 5; attempt++) await somebody.login("first", "a wrong one, at length");
    expect((await somebody.login("first", "a long enough one")).status).toBe(429);
    const unlock = "/api/v1/users/first/unlock";
    expect((await operator.ask(unlock, { body: {} })).status).toBe(403);
    expect((await somebody.login("first", "a long enough one")).status).toBe(429);
    const { json } = await admin.ask(unlock, { body: {} });
    expect(schemas.usersView.parse(json).users[0]).toMatchObject({ name: "first", locked: [] });
    expect(front.events.at(-1)).toMatchObject({ action: "user.unlock", target: "first", detail: "1 locks" });
    expect((await somebody.login("first", "a long enough one")).status).toBe(200);
    expect((await admin.ask("/api/v1/users/nobody/unlock", { body: {} })).status).toBe(404);
  });
});

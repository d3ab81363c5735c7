import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, pathOf, send, type UsersView } from "../api.ts";
import { age, moment, number, seconds } from "../format.ts";
import { Confirm, type Step } from "../parts/confirm.tsx";
import { Field } from "../parts/field.tsx";
import { isRole, RoleField } from "../parts/role.tsx";
import { Card, Loading, Pill, Problem, Table, usePolled } from "../parts/ui.tsx";
import { t } from "../settings.ts";

const EVERY_MS = 10_000;

type User = UsersView["users"][number];

/** Who may log in, and as what. `self` is who looks. */
export function UsersPage({ self }: { self: string }): JSX.Element {
  const { data, error, again } = usePolled((signal) => get<UsersView>("/users", signal), EVERY_MS, "users");
  const [changed, setChanged] = useState<string | undefined>();
  const [step, setStep] = useState<Step | undefined>();
  const [told, setTold] = useState("");
  const [failed, setFailed] = useState<unknown>();
  const done = (text: string) => {
    setTold(text);
    again();
  };
  const remove = (name: string) =>
    setStep({
      title: t("Remove the user {name}?", { name }),
      text: t("Their sessions end at once. What they did stays in the audit trail."),
      action: t("Remove"),
      run: async () => {
        await send(pathOf("users", name), undefined, "DELETE");
        if (changed === name) setChanged(undefined);
        done(t("The user {name} is removed.", { name }));
      },
    });
  const unlock = async (name: string) => {
    setFailed(undefined);
    try {
      await send(`${pathOf("users", name)}/unlock`, {});
      done(t("{name} may try to log in again.", { name }));
    } catch (problem) {
      setFailed(problem);
    }
  };
  const chosen = data?.users.find(({ name }) => name === changed);
  return (
    <>
      <Card title={t("Who may log in")} wide>
        <p role="status" class="told">
          {told}
        </p>
        <Problem error={error ?? failed} />
        {data === undefined && error === undefined && <Loading />}
        {data !== undefined && (
          <Table
            label={t("Who may log in")}
            columns={columns(self, setChanged, remove, (name) => void unlock(name))}
            rows={data.users}
            keyOf={({ name }) => name}
            empty={t("None.")}
          />
        )}
      </Card>
      <div class="grid">
        {chosen && (
          <ChangeUser
            key={chosen.name}
            user={chosen}
            admins={(data?.users ?? []).filter(({ role }) => role === "admin").length}
            onDone={done}
            onClose={() => setChanged(undefined)}
          />
        )}
        <AddUser onDone={done} />
      </div>
      {step && <Confirm step={step} onClose={() => setStep(undefined)} />}
    </>
  );
}

function columns(
  self: string,
  change: (name: string) => void,
  remove: (name: string) => void,
  unlock: (name: string) => void,
) {
  return [
    { title: t("User name"), cell: ({ name }: User) => (name === self ? `${name} ${t("(you)")}` : name) },
    { title: t("Role"), cell: ({ role }: User) => t(role) },
    {
      title: t("Last login"),
      cell: ({ lastLogin }: User) =>
        lastLogin === undefined ? "–" : <span title={moment(lastLogin)}>{age(lastLogin, Date.now())}</span>,
    },
    { title: t("Sessions"), number: true, cell: ({ sessions }: User) => number(sessions) },
    { title: t("State"), cell: (user: User) => <Locked user={user} /> },
    {
      title: t("Change"),
      cell: ({ name, locked }: User) => (
        <span class="tools">
          {locked.length > 0 && (
            <button type="button" aria-label={t("Unlock {name}", { name })} onClick={() => unlock(name)}>
              {t("Unlock")}
            </button>
          )}
          <button type="button" aria-label={t("Change {name}", { name })} onClick={() => change(name)}>
            {t("Change")}
          </button>
          {name !== self && (
            <button type="button" class="danger" aria-label={t("Remove {name}", { name })} onClick={() => remove(name)}>
              {t("Remove")}
            </button>
          )}
        </span>
      ),
    },
  ];
}

function Locked({ user: { locked } }: { user: User }): JSX.Element {
  const [first] = locked;
  if (first === undefined) return <Pill state="ok" text={t("may log in")} />;
  const longest = Math.max(...locked.map(({ forMs }) => forMs)) / 1_000;
  const where = locked.length === 1 ? first.address : t("{n} addresses", { n: number(locked.length) });
  return <Pill state="refused" text={t("locked from {where} for {time}", { where, time: seconds(longest) })} />;
}

/** Another role, another password. The only admin stays one. */
function ChangeUser({
  user: { name, role },
  admins,
  onDone,
  onClose,
}: {
  user: User;
  admins: number;
  onDone: (text: string) => void;
  onClose: () => void;
}): JSX.Element {
  const [next, setNext] = useState(role);
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>();
  const attempt = async (event: SubmitEvent, body: { role: string } | { password: string }, text: string) => {
    event.preventDefault();
    setError(undefined);
    try {
      await send(pathOf("users", name), body, "PUT");
      setPassword("");
      onDone(text);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card
      title={t("Change {name}", { name })}
      action={
        <button type="button" class="quiet" onClick={onClose}>
          {t("Close")}
        </button>
      }
    >
      <p class="note">{t("Either ends their sessions: they log in again.")}</p>
      {role === "admin" && admins === 1 ? (
        <p class="note">{t("This is the only admin: make somebody else one before you change the role.")}</p>
      ) : (
        <form
          class="line"
          onSubmit={(event) => void attempt(event, { role: next }, t("{name} has another role.", { name }))}
        >
          <RoleField id="changed-role" value={next} onValue={(value) => isRole(value) && setNext(value)} />
          <button type="submit" disabled={next === role}>
            {t("Set role")}
          </button>
        </form>
      )}
      <form
        class="line"
        onSubmit={(event) => void attempt(event, { password }, t("{name} has another password.", { name }))}
      >
        <Field
          label={t("New password")}
          name="changed-password"
          value={password}
          onValue={setPassword}
          complete="new-password"
          secret
        />
        <button type="submit">{t("Set password")}</button>
      </form>
      <Problem error={error} />
    </Card>
  );
}

function AddUser({ onDone }: { onDone: (text: string) => void }): JSX.Element {
  const [name, setName] = useState("");
  const [role, setRole] = useState<User["role"]>("viewer");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setError(undefined);
    try {
      await send("/users", { name: name.trim(), role, password });
      onDone(t("The user {name} is added.", { name: name.trim() }));
      setName("");
      setPassword("");
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card title={t("Add a user")}>
      <form onSubmit={(event) => void submit(event)}>
        <Field label={t("User name")} name="new-user" value={name} onValue={setName} complete="off" />
        <RoleField id="new-role" value={role} onValue={(value) => isRole(value) && setRole(value)} />
        <Field
          label={t("Password")}
          name="new-password"
          value={password}
          onValue={setPassword}
          complete="new-password"
          secret
        />
        <p class="note">{t("At least 12 characters, without the user name in them.")}</p>
        <Problem error={error} />
        <button type="submit" class="main">
          {t("Add")}
        </button>
      </form>
    </Card>
  );
}

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, type NewToken, pathOf, type Scope, send, type TokensView } from "../api.ts";
import { moment } from "../format.ts";
import { Confirm, type Step } from "../parts/confirm.tsx";
import { Field } from "../parts/field.tsx";
import { FreshToken } from "../parts/fresh-token.tsx";
import { Card, Loading, Pill, Problem, Table, usePolled } from "../parts/ui.tsx";
import { t } from "../settings.ts";
import type { Phrase } from "../words/zh.ts";

const EVERY_MS = 10_000;
const DAY_MS = 86_400_000;

const SCOPES: Readonly<Record<Scope, Phrase>> = {
  read: "sees values and states",
  operate: "writes tags, sees the log",
  configure: "configures, scans, records",
  administer: "users, tokens, audit trail",
};
const DAYS = [30, 90, 365] as const;

type Token = TokensView["tokens"][number];

/** What programs come in with. */
export function TokensPage(): JSX.Element {
  const { data, error, again } = usePolled((signal) => get<TokensView>("/tokens", signal), EVERY_MS, "tokens");
  const [step, setStep] = useState<Step | undefined>();
  const [fresh, setFresh] = useState<NewToken | undefined>();
  const [told, setTold] = useState("");
  const revoke = ({ id, name }: Token) =>
    setStep({
      title: t("Revoke the token {name}?", { name }),
      text: t("The program that uses it is refused from then on. It cannot be given back."),
      action: t("Revoke"),
      run: async () => {
        await send(pathOf("tokens", id), undefined, "DELETE");
        if (fresh?.id === id) setFresh(undefined);
        setTold(t("The token {name} is revoked.", { name }));
        again();
      },
    });
  return (
    <>
      {fresh && <FreshToken key={fresh.id} token={fresh} onClose={() => setFresh(undefined)} />}
      <Card title={t("Tokens of programs")} wide>
        <p role="status" class="told">
          {told}
        </p>
        <Problem error={error} />
        {data === undefined && error === undefined && <Loading />}
        {data !== undefined && (
          <Table
            label={t("Tokens of programs")}
            columns={[
              { title: t("Name"), cell: ({ name }) => name },
              { title: t("Number"), cell: ({ id }) => <code>{id}</code> },
              { title: t("Scopes"), cell: ({ scopes }) => scopes.join(", ") },
              { title: t("Made"), cell: ({ created }) => moment(created) },
              { title: t("By"), cell: ({ createdBy }) => createdBy },
              { title: t("Good until"), cell: (token) => <Until token={token} /> },
              {
                title: t("Change"),
                cell: (token) => (
                  <button
                    type="button"
                    class="danger"
                    aria-label={t("Revoke {name}", { name: `${token.name} (${token.id})` })}
                    onClick={() => revoke(token)}
                  >
                    {t("Revoke")}
                  </button>
                ),
              },
            ]}
            rows={data.tokens}
            keyOf={({ id }) => id}
            empty={t("None yet.")}
          />
        )}
      </Card>
      <AddToken
        onMade={(made) => {
          setFresh(made);
          setTold("");
          again();
        }}
      />
      {step && <Confirm step={step} onClose={() => setStep(undefined)} />}
    </>
  );
}

function Until({ token: { expires } }: { token: Token }): JSX.Element {
  if (expires === undefined) return <>{t("until revoked")}</>;
  if (expires <= Date.now()) return <Pill state="refused" text={t("expired")} />;
  return <>{moment(expires)}</>;
}

function AddToken({ onMade }: { onMade: (token: NewToken) => void }): JSX.Element {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly string[]>(["read"]);
  const [days, setDays] = useState("90");
  const [error, setError] = useState<unknown>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setError(undefined);
    if (scopes.length === 0) return setError(new Error(t("Choose at least one scope.")));
    try {
      const forMs = days === "" ? {} : { forMs: Number(days) * DAY_MS };
      onMade(await send<NewToken>("/tokens", { name: name.trim(), scopes, ...forMs }));
      setName("");
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card title={t("Make a token")}>
      <form onSubmit={(event) => void submit(event)}>
        <Field label={t("Name of the program")} name="token-name" value={name} onValue={setName} complete="off" />
        <fieldset>
          <legend>{t("Scopes")}</legend>
          {Object.entries(SCOPES).map(([scope, what]) => (
            <label key={scope} class="check">
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={({ currentTarget: { checked } }) =>
                  setScopes((before) => [...before.filter((one) => one !== scope), ...(checked ? [scope] : [])])
                }
              />
              <span>
                {scope}: {t(what)}
              </span>
            </label>
          ))}
        </fieldset>
        <label class="field" for="token-days">
          <span>{t("Good for")}</span>
          <select id="token-days" value={days} onChange={({ currentTarget }) => setDays(currentTarget.value)}>
            {DAYS.map((one) => (
              <option key={one} value={String(one)}>
                {t("{n} days", { n: one })}
              </option>
            ))}
            <option value="">{t("until revoked")}</option>
          </select>
        </label>
        <Problem error={error} />
        <button type="submit" class="main">
          {t("Make")}
        </button>
      </form>
    </Card>
  );
}

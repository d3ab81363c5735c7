import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { send } from "../api.ts";
import { Field } from "../parts/field.tsx";
import { Settings } from "../parts/frame.tsx";
import { Problem } from "../parts/ui.tsx";
import { t } from "../settings.ts";

/** Log in; on the first start, make the first account with the token of the log. */
export function LoginPage({ setup, onIn }: { setup: boolean; onIn: () => void }): JSX.Element {
  const [token, setToken] = useState("");
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [repeated, setRepeated] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (setup && password !== repeated) return setError(new Error(t("The two passwords differ.")));
    setBusy(true);
    setError(undefined);
    try {
      await (setup
        ? send("/setup", { token: token.trim(), user: user.trim(), password })
        : send("/login", { user: user.trim(), password }));
      onIn();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="alone">
      <div class="login card">
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>{setup ? t("First start") : t("Log in to Millrace")}</h1>
        {setup && (
          <p>
            {t("There is no account yet. The setup token stands in the log of the gateway:")}
            <code class="block">journalctl -u millrace | grep setupToken</code>
          </p>
        )}
        <form onSubmit={(event) => void submit(event)}>
          {setup && (
            <Field label={t("Setup token")} name="token" value={token} onValue={setToken} complete="one-time-code" />
          )}
          <Field label={t("User name")} name="user" value={user} onValue={setUser} complete="username" />
          <Field
            label={t("Password")}
            name="password"
            value={password}
            onValue={setPassword}
            complete={setup ? "new-password" : "current-password"}
            secret
          />
          {setup && (
            <Field
              label={t("Password again")}
              name="repeated"
              value={repeated}
              onValue={setRepeated}
              complete="new-password"
              secret
            />
          )}
          <Problem error={error} />
          <button type="submit" class="main" disabled={busy}>
            {setup ? t("Make the account") : t("Log in")}
          </button>
        </form>
      </div>
      <Settings />
    </main>
  );
}

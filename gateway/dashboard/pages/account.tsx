import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, type OwnSessionsView, pathOf, send } from "../api.ts";
import { seconds } from "../format.ts";
import { Confirm, type Step } from "../parts/confirm.tsx";
import { Field } from "../parts/field.tsx";
import { Card, Loading, Pill, Problem, Table, usePolled } from "../parts/ui.tsx";
import { t } from "../settings.ts";

const EVERY_MS = 10_000;

/** One's own sessions and password. */
export function AccountPage(): JSX.Element {
  const { data, error, again } = usePolled((signal) => get<OwnSessionsView>("/sessions", signal), EVERY_MS, "sessions");
  const [step, setStep] = useState<Step | undefined>();
  const [told, setTold] = useState("");
  const end = (id: string, address: string) =>
    setStep({
      title: t("End the session from {address}?", { address }),
      text: t("Whoever uses it logs in again."),
      action: t("End"),
      run: async () => {
        await send(pathOf("sessions", id), undefined, "DELETE");
        setTold(t("The session has ended."));
        again();
      },
    });
  return (
    <>
      <Card title={t("Where you are logged in")} wide>
        <p role="status" class="told">
          {told}
        </p>
        <Problem error={error} />
        {data === undefined && error === undefined && <Loading />}
        {data !== undefined && (
          <Table
            label={t("Where you are logged in")}
            columns={[
              { title: t("Address"), cell: ({ address }) => address },
              { title: t("Logged in"), cell: ({ agoMs }) => t("{time} ago", { time: seconds(agoMs / 1_000) }) },
              { title: t("Last request"), cell: ({ idleMs }) => t("{time} ago", { time: seconds(idleMs / 1_000) }) },
              {
                title: t("Change"),
                cell: ({ id, address, own }) =>
                  own ? (
                    <Pill state="ok" text={t("this one")} />
                  ) : (
                    <button type="button" class="danger" onClick={() => end(id, address)}>
                      {t("End")}
                    </button>
                  ),
              },
            ]}
            rows={data.sessions}
            keyOf={({ id }) => id}
            empty={t("None.")}
          />
        )}
      </Card>
      <OwnPassword
        onDone={() => {
          setTold(t("The password is changed; your other sessions have ended."));
          again();
        }}
      />
      {step && <Confirm step={step} onClose={() => setStep(undefined)} />}
    </>
  );
}

function OwnPassword({ onDone }: { onDone: () => void }): JSX.Element {
  const [present, setPresent] = useState("");
  const [password, setPassword] = useState("");
  const [repeated, setRepeated] = useState("");
  const [error, setError] = useState<unknown>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (password !== repeated) return setError(new Error(t("The two passwords differ.")));
    setError(undefined);
    try {
      await send("/password", { present, password });
      for (const empty of [setPresent, setPassword, setRepeated]) empty("");
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card title={t("Your password")}>
      <form onSubmit={(event) => void submit(event)}>
        <Field
          label={t("Present password")}
          name="present"
          value={present}
          onValue={setPresent}
          complete="current-password"
          secret
        />
        <Field
          label={t("New password")}
          name="password"
          value={password}
          onValue={setPassword}
          complete="new-password"
          secret
        />
        <Field
          label={t("New password again")}
          name="repeated"
          value={repeated}
          onValue={setRepeated}
          complete="new-password"
          secret
        />
        <p class="note">{t("At least 12 characters, without the user name in them.")}</p>
        <Problem error={error} />
        <button type="submit" class="main">
          {t("Change password")}
        </button>
      </form>
    </Card>
  );
}

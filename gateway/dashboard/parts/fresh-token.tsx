import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { NewToken } from "../api.ts";
import { t } from "../settings.ts";
import { Card } from "./ui.tsx";

/** A token that was just made: the one time that it is shown. */
export function FreshToken({ token: { name, token }, onClose }: { token: NewToken; onClose: () => void }): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const [told, setTold] = useState("");
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(token);
      setTold(t("Copied."));
    } catch {
      field.current?.select();
      setTold(t("The browser does not let it be copied; it is selected now."));
    }
  };
  return (
    <Card title={t("The token {name}", { name })} wide>
      <p>{t("Copy it now: it is shown this once, and only a hash of it is kept.")}</p>
      <div class="line fresh">
        <label class="field" for="fresh-token">
          <span>{t("Token")}</span>
          <input id="fresh-token" ref={field} readOnly value={token} spellcheck={false} />
        </label>
        <button type="button" class="main" onClick={() => void copy()}>
          {t("Copy")}
        </button>
        <button type="button" onClick={onClose}>
          {t("I have it")}
        </button>
      </div>
      <p role="status" class="told">
        {told}
      </p>
    </Card>
  );
}

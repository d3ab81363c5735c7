import type { JSX } from "preact";
import type { Session } from "../api.ts";
import { t } from "../settings.ts";
import type { Phrase } from "../words/zh.ts";

type Role = Session["role"];

/** Each role with what it may do; each may do what those before it may. */
const ROLES: Readonly<Record<Role, Phrase>> = {
  viewer: "sees values and states",
  operator: "writes tags, sees the log",
  engineer: "configures, scans, records",
  admin: "users, tokens, audit trail",
};

export function isRole(value: string): value is Role {
  return Object.hasOwn(ROLES, value);
}

export function RoleField({
  id,
  value,
  onValue,
}: {
  id: string;
  value: Role;
  onValue: (value: string) => void;
}): JSX.Element {
  return (
    <label class="field" for={id}>
      <span>{t("Role")}</span>
      <select id={id} value={value} onChange={({ currentTarget }) => onValue(currentTarget.value)}>
        {Object.entries(ROLES).map(([role, what]) => (
          <option key={role} value={role}>
            {isRole(role) ? t(role) : role}: {t(what)}
          </option>
        ))}
      </select>
    </label>
  );
}

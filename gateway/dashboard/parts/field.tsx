import type { JSX } from "preact";

/** A line of text to be typed, or a password. */
export function Field({
  label,
  name,
  value,
  onValue,
  complete,
  secret,
}: {
  label: string;
  name: string;
  value: string;
  onValue: (value: string) => void;
  complete: string;
  secret?: boolean;
}): JSX.Element {
  const given = {
    id: name,
    name,
    value,
    onInput: ({ currentTarget }: { currentTarget: HTMLInputElement }) => onValue(currentTarget.value),
    autoComplete: complete,
    autoCapitalize: "none",
    spellcheck: false,
    required: true,
  } as const;
  return (
    <label class="field" for={name}>
      <span>{label}</span>
      {secret ? <input type="password" {...given} /> : <input type="text" {...given} />}
    </label>
  );
}

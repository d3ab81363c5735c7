const MASK = "[secret]";
/** Shorter ones would mask half of every text; nothing that short keeps anybody out. */
const LEAST = 4;
/** Private keys, and hashes of passwords: not the secret itself, but what it can be guessed from. */
const ALWAYS = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\bscrypt[$:]\d+[$:][\w$:=,./+-]{20,}/g,
];

/** Takes secrets out of texts: those that are given, in the forms in which texts carry them, and what looks like one. */
export function scrubber(secrets: readonly string[], masked: (text: string) => string): (text: string) => string {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < LEAST) continue;
    const base64 = Buffer.from(secret).toString("base64");
    for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), base64])
      forms.add(form);
  }
  // The longest first: one that another begins with would leave the rest of it.
  const ordered = [...forms].sort((a, b) => b.length - a.length);
  return (text) => {
    let left = masked(text);
    for (const form of ordered) left = left.replaceAll(form, MASK);
    for (const pattern of ALWAYS) left = left.replaceAll(pattern, MASK);
    return left;
  };
}

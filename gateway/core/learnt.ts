/** Whose knowledge it is. Another device, or the same one elsewhere, has another `identity` and inherits nothing. */
export interface LearntKey {
  readonly driver: string;
  readonly link: string;
  readonly device: string;
  /** What tells the device from another one of the same name: how it is reached and its unit, as text. */
  readonly identity: string;
}

/** What is kept for one device: JSON whose shape only its driver knows. */
export interface LearntEntry extends LearntKey {
  readonly content: unknown;
  /** Unix milliseconds. */
  readonly savedAt: number;
}

/** Keeps what drivers learnt about devices, over connections and restarts. Losing it costs time, never data. */
export interface LearntStore {
  /** What was saved under this key; undefined where nothing was, or it was damaged. */
  load(key: LearntKey): unknown;
  /** Replaces it. It is on disk some time later; never throws. `content` must not be changed afterwards. */
  save(key: LearntKey, content: unknown): void;
  /** Calls back whenever somebody outside wants it forgotten. */
  onReset(key: LearntKey, forget: () => void): void;
}

/** How a driver's knowledge is shown to people. */
export interface LearntModule {
  /** One line for each thing that is known. Content of an unknown shape gives none. */
  describe(content: unknown): readonly string[];
  /** The same as keys of a device in the configuration. */
  profile(content: unknown): Readonly<Record<string, unknown>>;
}

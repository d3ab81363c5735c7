import { Store } from "./store.ts";

export interface Place {
  readonly page: string;
  readonly name: string;
}

function read(): Place {
  const [page = "", name = ""] = location.hash.replace(/^#\/?/, "").split("/");
  let decoded = name;
  try {
    decoded = decodeURIComponent(name);
  } catch {
    // Not encoded as it should be: nothing has that name, and the page says so.
  }
  return { page: page === "" ? "overview" : page, name: decoded };
}

/** Where the page is, from the hash of its address. */
export const place = new Store<Place>(read());
addEventListener("hashchange", () => place.set(read()));

export function linkTo(page: string, name?: string): string {
  return name === undefined ? `#/${page}` : `#/${page}/${encodeURIComponent(name)}`;
}

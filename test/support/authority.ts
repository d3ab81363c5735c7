import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needProgram } from "./processes.ts";

/** Times as openssl wants them. */
const stamp = (ms: number) => new Date(ms).toISOString().replace(/[-:T]/g, "").slice(0, 14).concat("Z");
const DAY_MS = 86_400_000;

export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority made with openssl, for one test. */
export class Authority {
  readonly folder: string;
  readonly #openssl = needProgram("openssl", "openssl");

  constructor(folder: string, name: string) {
    this.folder = join(folder, name);
    mkdirSync(join(this.folder, "issued"), { recursive: true });
    writeFileSync(join(this.folder, "index.txt"), "");
    writeFileSync(join(this.folder, "serial"), "1000\n");
    writeFileSync(join(this.folder, "crlnumber"), "01\n");
    writeFileSync(
      join(this.folder, "ca.cnf"),
      `[ca]\ndefault_ca=own\n[own]\ndir=${this.folder}\ndatabase=$dir/index.txt\nserial=$dir/serial\ncrlnumber=$dir/crlnumber\n` +
        "new_certs_dir=$dir/issued\ncertificate=$dir/ca.pem\nprivate_key=$dir/ca.key\ndefault_md=sha256\npolicy=any\n" +
        "default_crl_days=30\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n",
    );
    this.#run(
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"],
      ...["-subj", `/CN=${name}`, "-keyout", this.#path("ca.key"), "-out", this.ca],
    );
  }

  get ca(): string {
    return this.#path("ca.pem");
  }

  /** A certificate for `name`, valid from and for so many days from now. */
  issue(file: string, name: string, days: readonly [from: number, to: number] = [-1, 365]): Issued {
    const [cert, key, request] = [`${file}.pem`, `${file}.key`, `${file}.csr`].map((one) => this.#path(one));
    if (cert === undefined || key === undefined || request === undefined) throw new Error("no path");
    this.#run(
      ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", `/CN=${name}`],
      ...["-addext", `subjectAltName=DNS:${name}`, "-keyout", key, "-out", request],
    );
    const [from, to] = days.map((day) => stamp(Date.now() + day * DAY_MS));
    this.#run(
      ...["ca", "-batch", "-notext", "-config", this.#path("ca.cnf"), "-in", request, "-out", cert],
      ...["-startdate", from ?? "", "-enddate", to ?? ""],
    );
    return { cert, key };
  }

  revoke({ cert }: Issued): void {
    this.#run("ca", "-config", this.#path("ca.cnf"), "-revoke", cert);
  }

  /** The revocation list as of now. */
  crl(): string {
    const file = this.#path("crl.pem");
    this.#run("ca", "-config", this.#path("ca.cnf"), "-gencrl", "-out", file);
    return file;
  }

  #path(name: string): string {
    return join(this.folder, name);
  }

  #run(...words: string[]): void {
    execFileSync(this.#openssl, words, { stdio: ["ignore", "ignore", "pipe"] });
  }
}

export function pems({ cert, key }: Issued): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

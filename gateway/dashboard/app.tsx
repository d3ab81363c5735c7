import type { ComponentChildren, JSX } from "preact";
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import { get, type Scope, type Session, send, textOf, useSession, type Who } from "./api.ts";
import { start, stop } from "./live.ts";
import { AccountPage } from "./pages/account.tsx";
import { AuditPage } from "./pages/audit.tsx";
import { ConfigPage } from "./pages/config.tsx";
import { DevicePage } from "./pages/device.tsx";
import { LinkPage } from "./pages/link.tsx";
import { LoginPage } from "./pages/login.tsx";
import { LogsPage } from "./pages/logs.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { QueuePage } from "./pages/queue.tsx";
import { TokensPage } from "./pages/tokens.tsx";
import { UplinkPage } from "./pages/uplink.tsx";
import { UsersPage } from "./pages/users.tsx";
import { WizardPage } from "./pages/wizard.tsx";
import { Announcer, Settings, Stream } from "./parts/frame.tsx";
import { Probation } from "./parts/probation.tsx";
import { Loading, Problem } from "./parts/ui.tsx";
import { linkTo, place } from "./route.ts";
import { language, t } from "./settings.ts";
import { useStore } from "./store.ts";
import type { Phrase } from "./words/zh.ts";

interface Page {
  readonly title: Phrase;
  readonly scope: Scope;
  /** Stands in the navigation. */
  readonly listed: boolean;
  readonly show: (name: string, may: (scope: Scope) => boolean, self: string) => JSX.Element;
}

const PAGES: Readonly<Record<string, Page>> = {
  overview: { title: "Overview", scope: "read", listed: true, show: () => <OverviewPage /> },
  devices: {
    title: "Device",
    scope: "read",
    listed: false,
    show: (name, may) => <DevicePage key={name} name={name} mayWrite={may("operate")} />,
  },
  links: {
    title: "Link",
    scope: "read",
    listed: false,
    show: (name, may) => <LinkPage key={name} name={name} mayRecord={may("configure")} />,
  },
  uplinks: { title: "Uplink", scope: "read", listed: false, show: (name) => <UplinkPage key={name} name={name} /> },
  queue: { title: "Queue", scope: "read", listed: true, show: () => <QueuePage /> },
  logs: {
    title: "Log",
    scope: "operate",
    listed: true,
    show: (_name, may) => <LogsPage mayGather={may("administer")} />,
  },
  audit: { title: "Audit trail", scope: "administer", listed: true, show: () => <AuditPage /> },
  config: { title: "Configuration", scope: "configure", listed: true, show: () => <ConfigPage /> },
  wizard: { title: "Tag wizard", scope: "configure", listed: true, show: () => <WizardPage /> },
  users: {
    title: "Users",
    scope: "administer",
    listed: true,
    show: (_name, _may, self) => <UsersPage self={self} />,
  },
  tokens: { title: "Tokens", scope: "administer", listed: true, show: () => <TokensPage /> },
  account: { title: "Your account", scope: "read", listed: true, show: () => <AccountPage /> },
};

export function App(): JSX.Element {
  useStore(language);
  const [who, setWho] = useState<Who | undefined>();
  const [error, setError] = useState<unknown>();
  const load = async () => {
    try {
      setWho(await get<Who>("/session"));
      setError(undefined);
    } catch (problem) {
      setError(problem);
    }
  };
  useEffect(() => {
    void load();
  }, []);
  const session = who?.session;
  if (session) useSession(session.csrf, () => void load());
  useEffect(() => {
    if (!session) return undefined;
    start(() => void load());
    return stop;
  }, [session?.csrf]);
  if (error !== undefined)
    return (
      <main class="alone">
        <h1>Millrace</h1>
        <Problem error={error} />
        <button type="button" onClick={() => void load()}>
          {t("Try again")}
        </button>
      </main>
    );
  if (!who)
    return (
      <main class="alone">
        <Loading />
      </main>
    );
  if (!session) return <LoginPage setup={who.setup} onIn={() => void load()} />;
  return <Shell session={session} gateway={who.gateway ?? ""} version={who.version} onOut={() => void load()} />;
}

function Shell({
  session,
  gateway,
  version,
  onOut,
}: {
  session: Session;
  gateway: string;
  version: string;
  onOut: () => void;
}): JSX.Element {
  const at = useStore(place);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const page = Object.hasOwn(PAGES, at.page) ? PAGES[at.page] : undefined;
  const may = (scope: Scope) => session.scopes.includes(scope);
  const title = page === undefined ? t("No such page") : page.listed ? t(page.title) : at.name;
  useEffect(() => {
    document.title = `${title} · ${gateway} · Millrace`;
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [title, gateway]);
  const out = async () => {
    await send("/logout", {}).catch(() => undefined);
    useSession("", () => {});
    onOut();
  };
  return (
    <div class="shell">
      <header>
        <a
          class="skip"
          href={linkTo(at.page, at.name === "" ? undefined : at.name)}
          onClick={(event) => {
            event.preventDefault();
            main.current?.focus();
          }}
        >
          {t("Skip to the content")}
        </a>
        <a class="brand" href={linkTo("overview")}>
          <img src="/icon.svg" alt="" width="26" height="26" />
          <span>Millrace</span>
        </a>
        <span class="where">{gateway}</span>
        <Stream />
        <span class="space" />
        <Settings />
        <span class="who">
          {session.user} · {t(session.role)}
        </span>
        <button type="button" class="quiet" onClick={() => void out()}>
          {t("Log out")}
        </button>
      </header>
      <nav aria-label={t("Pages")}>
        <ul>
          {Object.entries(PAGES)
            .filter(([, { listed, scope }]) => listed && may(scope))
            .map(([key, { title: phrase }]) => (
              <li key={key}>
                <a href={linkTo(key)} aria-current={key === at.page ? "page" : undefined}>
                  {t(phrase)}
                </a>
              </li>
            ))}
        </ul>
        <p class="version">{version}</p>
      </nav>
      <main ref={main} tabIndex={-1}>
        <Probation mayDecide={may("configure")} />
        <div class="title">
          {page && !page.listed && <p class="kind">{t(page.title)}</p>}
          <h1>{title}</h1>
        </div>
        {page === undefined && <p class="empty">{t("There is no such thing.")}</p>}
        {page && !may(page.scope) && <p class="empty">{t("Your role may not see this.")}</p>}
        {page && may(page.scope) && (
          <Shown key={`${at.page}/${at.name}`}>{page.show(at.name, may, session.user)}</Shown>
        )}
      </main>
      <Announcer />
    </div>
  );
}

/** A page; when it cannot show what came, the others still work. */
function Shown({ children }: { children: ComponentChildren }): JSX.Element {
  const [error] = useErrorBoundary();
  if (error === undefined) return <>{children}</>;
  return (
    <>
      <p class="problem" role="alert">
        {t("What came cannot be shown: {error}", { error: textOf(error) })}
      </p>
      <p>
        <button type="button" onClick={() => location.reload()}>
          {t("Reload the page")}
        </button>
      </p>
    </>
  );
}

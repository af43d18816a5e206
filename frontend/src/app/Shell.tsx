// The frame around every page behind the door: rail, balance, language, theme, tenant, keys.

import { ActionIcon, Burger, Drawer, Menu, Tooltip, UnstyledButton } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import {
  Box,
  Coins,
  Database,
  Languages,
  MessagesSquare,
  Moon,
  Search,
  Settings,
  Shield,
  Sun,
  Waypoints,
} from "lucide-react";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { type Me, meQuery, signOut, switchTenant } from "../client/session";
import { Money } from "../design/Money";
import { chooseFile } from "../uploads/choose";
import { Uploads } from "../uploads/Uploads";
import { language, speak } from "../words";
import { Keys } from "./Keys";
import { Palette } from "./Palette";
import css from "./Shell.module.css";
import { useTheme } from "./useTheme";

export function Shell() {
  const { data: me } = useQuery(meQuery);
  const navigate = useNavigate();
  // The session may end under a page that is open: then the door, and back here afterwards.
  useEffect(() => {
    if (me === null) void navigate({ to: "/sign-in", search: { next: currentPath() } });
  }, [me, navigate]);
  return me ? <Inside me={me} /> : null;
}

function Inside({ me }: { me: Me }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [rail, { toggle: toggleRail, close: closeRail }] = useDisclosure(false);
  const [palette, { open: openPalette, close: closePalette }] = useDisclosure(false);
  const [keys, { open: openKeys, close: closeKeys }] = useDisclosure(false);
  useHotkeys([
    ["mod+K", openPalette],
    ["N", () => void navigate({ to: "/jobs/new" })],
    ["U", chooseFile],
    ["/", focusSearch],
    ["shift+?", openKeys],
    ["?", openKeys],
  ]);
  return (
    <Uploads>
      <a className={css.skip} href="#content">
        {t("nav.skip")}
      </a>
      <div className={css.frame}>
        <aside className={css.rail}>
          <Rail me={me} onOpen={closeRail} />
        </aside>
        <Drawer opened={rail} onClose={closeRail} size={240} title="Tunery" padding="sm">
          <Rail me={me} onOpen={closeRail} />
        </Drawer>
        <header className={css.top}>
          <Burger
            className={css.burger}
            size="sm"
            opened={rail}
            onClick={toggleRail}
            aria-label={t("nav.menu")}
          />
          <UnstyledButton className={css.search} onClick={openPalette}>
            <Search size={14} aria-hidden="true" />
            <span>{t("nav.find")}</span>
            {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: kbd takes no focus; its keys are no part of the name */}
            <kbd aria-hidden="true">{isMac() ? "⌘K" : "Ctrl K"}</kbd>
          </UnstyledButton>
          <div className={css.right}>
            <Link to="/credits" search={{ tab: "statement" }} className={css.balance}>
              <Coins size={15} aria-hidden="true" />
              <b>
                <Money micro={me.credits.available} />
              </b>
              <span className={css.unit}>{t("nav.creditsUnit")}</span>
              <span className="unseen">{t("nav.balance")}</span>
            </Link>
            <LanguageButton />
            <ThemeButton />
            <TenantMenu me={me} openKeys={openKeys} />
          </div>
        </header>
        <main id="content" className={css.content} tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      <Palette opened={palette} close={closePalette} />
      <Keys opened={keys} close={closeKeys} />
    </Uploads>
  );
}

const PLACES = [
  { to: "/datasets", name: "datasets", Icon: Database },
  { to: "/jobs", name: "jobs", Icon: Waypoints },
  { to: "/models", name: "models", Icon: Box },
  { to: "/playground", name: "playground", Icon: MessagesSquare },
  { to: "/credits", name: "credits", Icon: Coins },
  { to: "/settings", name: "settings", Icon: Settings },
] as const;

function Rail({ me, onOpen }: { me: Me; onOpen: () => void }) {
  const { t } = useTranslation();
  return (
    <nav className={css.places} aria-label={t("nav.main")}>
      <Link to="/jobs" className={css.brand} onClick={onOpen}>
        <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width={22} height={22} />
        Tunery
      </Link>
      {PLACES.map(({ to, name, Icon }) => (
        <Link key={to} to={to} className={css.place} onClick={onOpen}>
          <Icon size={17} aria-hidden="true" />
          {t(`nav.${name}`)}
        </Link>
      ))}
      {me.operator && (
        <Link to="/admin" className={css.place} onClick={onOpen}>
          <Shield size={17} aria-hidden="true" />
          {t("nav.admin")}
        </Link>
      )}
    </nav>
  );
}

function LanguageButton() {
  const { t } = useTranslation();
  return (
    <Tooltip label={t("nav.otherLanguage")}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={t("nav.otherLanguage")}
        onClick={() => void speak(language() === "en" ? "zh" : "en")}
      >
        <Languages size={17} />
      </ActionIcon>
    </Tooltip>
  );
}

function ThemeButton() {
  const { t } = useTranslation();
  const { dark, setTheme } = useTheme();
  return (
    <Tooltip label={t("nav.otherTheme")}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={t("nav.otherTheme")}
        onClick={() => setTheme(dark ? "light" : "dark")}
      >
        {dark ? <Sun size={17} /> : <Moon size={17} />}
      </ActionIcon>
    </Tooltip>
  );
}

function TenantMenu({ me, openKeys }: { me: Me; openKeys: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const others = me.tenants.filter((tenant) => tenant.id !== me.tenant.id);
  const go = async (tenantId: string) => {
    // What is open belongs to the tenant that is left.
    await navigate({ to: "/jobs" });
    await switchTenant(tenantId);
  };
  const leave = async () => {
    await signOut();
    await navigate({ to: "/sign-in" });
  };
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <UnstyledButton className={css.tenant}>
          <span className={css.avatar} aria-hidden="true">
            {(me.tenant.name[0] ?? "?").toUpperCase()}
          </span>
          <span className={css.tenantName}>{me.tenant.name}</span>
          <span className="unseen">{t("nav.account")}</span>
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{me.user.email}</Menu.Label>
        {others.map((tenant) => (
          <Menu.Item key={tenant.id} onClick={() => void go(tenant.id)}>
            {t("nav.switchTo", { name: tenant.name })}
          </Menu.Item>
        ))}
        {others.length > 0 && <Menu.Divider />}
        <Menu.Item component={Link} to="/settings">
          {t("nav.settings")}
        </Menu.Item>
        <Menu.Item onClick={openKeys} rightSection={<kbd>?</kbd>}>
          {t("nav.keys")}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item onClick={() => void leave()}>{t("nav.signOut")}</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** The address inside the portal, as the router names it. */
function currentPath(): string {
  const { pathname, search } = window.location;
  return `${pathname.replace(/^\/app/, "") || "/"}${search}`;
}

function focusSearch(): void {
  document.querySelector<HTMLInputElement>("input[data-search]")?.focus();
}

function isMac(): boolean {
  return navigator.platform.startsWith("Mac");
}

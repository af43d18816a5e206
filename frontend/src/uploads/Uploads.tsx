// Wraps the portal: files dropped anywhere or chosen in the system's dialog are sent, the tray
// tells how far they are, and a file that is complete opens where it was asked for.

import { useNavigate, useRouter } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { queryClient, useMe } from "../client/session";
import { CHOOSE_FILE } from "./choose";
import { DropOverlay } from "./DropOverlay";
import type { Done } from "./store";
import { Tray } from "./Tray";
import { uploads } from "./uploads";

const LIST = "/datasets";
/** Who began it in the list of datasets still means to look at it. */
const FRESH_MS = 60_000;

export function Uploads({ children }: { children: ReactNode }) {
  const tenantId = useMe().tenant.id;
  useEffect(() => {
    void uploads.enter(tenantId);
    return () => uploads.leave();
  }, [tenantId]);
  useOpenWhenDone();
  useKeepPage();
  return (
    <>
      {children}
      <Chooser />
      <DropOverlay />
      <Tray />
    </>
  );
}

function Chooser() {
  const { t } = useTranslation();
  const input = useRef<HTMLInputElement>(null);
  const router = useRouter();
  useEffect(() => {
    const open = () => input.current?.click();
    window.addEventListener(CHOOSE_FILE, open);
    return () => window.removeEventListener(CHOOSE_FILE, open);
  }, []);
  return (
    <input
      ref={input}
      type="file"
      multiple
      hidden
      aria-label={t("uploads.choose")}
      onChange={({ currentTarget }) => {
        uploads.add(currentTarget.files ?? [], router.state.location.pathname);
        currentTarget.value = "";
      }}
    />
  );
}

function useOpenWhenDone(): void {
  const navigate = useNavigate();
  const router = useRouter();
  useEffect(
    () =>
      uploads.onDone((done) => {
        void queryClient.invalidateQueries({ queryKey: ["files"] });
        if (!isAwaited(done, router.state.location.pathname)) return;
        void navigate({ to: "/datasets/$fileId", params: { fileId: done.fileId } });
      }),
    [navigate, router],
  );
}

/** Of several files none takes the page away from the list. */
function isAwaited({ alone, startedAt, startedMs }: Done, pathname: string): boolean {
  if (!alone) return false;
  return pathname === LIST || (startedAt === LIST && Date.now() - startedMs < FRESH_MS);
}

/** The browser asks before it leaves a page that is sending; the network's return is used at once. */
function useKeepPage(): void {
  useEffect(() => {
    const ask = (event: BeforeUnloadEvent) => {
      if (uploads.underWay) event.preventDefault();
    };
    window.addEventListener("beforeunload", ask);
    window.addEventListener("online", uploads.hurry);
    return () => {
      window.removeEventListener("beforeunload", ask);
      window.removeEventListener("online", uploads.hurry);
    };
  }, []);
}

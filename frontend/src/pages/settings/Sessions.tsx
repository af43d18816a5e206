// Every browser in which I am signed in.

import { Button } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient, useMe } from "../../client/session";
import { Refusal } from "../../design/Notes";
import { ago, moment } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import { browserOf } from "./browser";

type Session = Schemas["Session"];

export function Sessions() {
  const { t } = useTranslation();
  const now = useNow(15_000) / 1_000;
  const me = useMe();
  const { data, error, refetch } = useQuery({
    queryKey: ["sessions"],
    queryFn: ({ signal }) => ask(http.GET("/v1/sessions", { signal })),
  });
  const endAll = useMutation({
    mutationFn: () => ask(http.DELETE("/v1/sessions")),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: ["sessions"] }),
  });
  const others = data?.data.filter((session) => !session.current) ?? [];
  const columns: Column<Session>[] = [
    {
      key: "browser",
      head: t("settings.sessions.browser"),
      cell: (session) => (
        <span title={session.user_agent}>
          <BrowserName session={session} />
          {session.current && <small className="tone-good">{t("settings.sessions.here")}</small>}
        </span>
      ),
    },
    ...(me.tenants.length > 1
      ? [
          {
            key: "team",
            head: t("settings.profile.team"),
            wide: true,
            cell: (session: Session) =>
              me.tenants.find((tenant) => tenant.id === session.tenant_id)?.name ?? "",
          },
        ]
      : []),
    {
      key: "since",
      head: t("settings.sessions.since"),
      align: "right",
      wide: true,
      cell: (session) => <span className="dim">{moment(session.created_at)}</span>,
    },
    {
      key: "seen",
      head: t("settings.sessions.seen"),
      align: "right",
      cell: (session) => <span title={moment(session.seen_at)}>{ago(session.seen_at, now)}</span>,
    },
    {
      key: "act",
      head: <span className="unseen">{t("settings.acts")}</span>,
      align: "right",
      cell: (session) => !session.current && <End session={session} />,
    },
  ];
  return (
    <>
      <Refusal error={error ?? endAll.error} retry={() => void refetch()} />
      <Panel
        title={t("settings.sessions.title")}
        flush
        actions={
          others.length > 0 && (
            <Button variant="default" loading={endAll.isPending} onClick={() => endAll.mutate()}>
              {t("settings.sessions.endOthers", { count: others.length })}
            </Button>
          )
        }
      >
        <Table
          label={t("settings.sessions.title")}
          columns={columns}
          rows={data?.data}
          rowKey={(session) => session.id}
        />
      </Panel>
    </>
  );
}

function BrowserName({ session }: { session: Session }) {
  const { t } = useTranslation();
  const { browser, system } = browserOf(session.user_agent);
  if (browser === null) return <>{t("settings.sessions.unknown")}</>;
  return <>{system === null ? browser : t("settings.sessions.on", { browser, system })}</>;
}

function End({ session }: { session: Session }) {
  const { t } = useTranslation();
  const end = useMutation({
    mutationFn: () =>
      ask(
        http.DELETE("/v1/sessions/{session_id}", { params: { path: { session_id: session.id } } }),
      ),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: ["sessions"] }),
  });
  return (
    <>
      <Button
        variant="subtle"
        size="compact-sm"
        loading={end.isPending}
        onClick={() => end.mutate()}
      >
        {t("settings.sessions.end")}
      </Button>
      <Refusal error={end.error} />
    </>
  );
}

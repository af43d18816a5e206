// Inviting by a link that is shown once, and the links that nobody has followed yet.

import { Button, Select, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { queryClient } from "../../client/session";
import { Confirm } from "../../design/Confirm";
import { Command } from "../../design/Copy";
import { Refusal } from "../../design/Notes";
import { ago, duration } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { useNow } from "../../hooks/useNow";
import { useRoles } from "./Members";
import css from "./Settings.module.css";

type Invitation = Schemas["Invitation"];

const KEY = ["members", "invitations"];

export function Invitations() {
  return (
    <>
      <Invite />
      <Pending />
    </>
  );
}

function Invite() {
  const { t } = useTranslation();
  const roles = useRoles();
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Invitation["role"]>("member");
  const invite = useMutation({
    mutationFn: () => ask(http.POST("/v1/members/invitations", { body: { email, role } })),
    onSuccess: async () => {
      setEmail("");
      await queryClient.invalidateQueries({ queryKey: KEY });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    invite.mutate();
  };
  return (
    <Panel title={t("settings.invite.title")}>
      <form className={css.line} onSubmit={submit}>
        <TextInput
          className={css.grow ?? ""}
          type="email"
          label={t("settings.profile.email")}
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
          autoComplete="off"
          required
          withAsterisk={false}
        />
        <Select
          label={t("settings.profile.role")}
          value={role}
          data={roles}
          onChange={(chosen) => chosen !== null && setRole(chosen)}
          w={140}
        />
        <Button type="submit" loading={invite.isPending}>
          {t("settings.invite.action")}
        </Button>
      </form>
      <Refusal error={invite.error} />
      {invite.data && (
        <div className={css.once} role="status">
          <p>{t("settings.invite.once", { email: invite.data.email })}</p>
          <Command text={invite.data.url} />
        </div>
      )}
    </Panel>
  );
}

function Pending() {
  const { t } = useTranslation();
  const now = useNow(30_000) / 1_000;
  const { data, error } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => ask(http.GET("/v1/members/invitations", { signal })),
  });
  const columns: Column<Invitation>[] = [
    {
      key: "email",
      head: t("settings.profile.email"),
      cell: (row) => <span className={css.wrap}>{row.email}</span>,
    },
    {
      key: "role",
      head: t("settings.profile.role"),
      cell: (row) => t(`settings.roles.${row.role}`),
    },
    {
      key: "sent",
      head: t("settings.invite.made"),
      align: "right",
      wide: true,
      cell: (row) => <span className="dim">{ago(row.created_at, now)}</span>,
    },
    {
      key: "until",
      head: t("settings.invite.until"),
      align: "right",
      wide: true,
      cell: (row) =>
        row.expires_at > now ? (
          t("settings.invite.in", { duration: duration(row.expires_at - now) })
        ) : (
          <span className="tone-warn">{t("settings.invite.over")}</span>
        ),
    },
    {
      key: "act",
      head: <span className="unseen">{t("settings.acts")}</span>,
      align: "right",
      cell: (row) => <Revoke invitation={row} />,
    },
  ];
  if (data?.data.length === 0) return null;
  return (
    <Panel title={t("settings.invite.pending")} flush>
      <Refusal error={error} />
      <Table
        label={t("settings.invite.pending")}
        columns={columns}
        rows={data?.data}
        rowKey={(row) => row.id}
      />
    </Panel>
  );
}

function Revoke({ invitation }: { invitation: Invitation }) {
  const { t } = useTranslation();
  const [asking, { open, close }] = useDisclosure(false);
  const revoke = async () => {
    const path = { invitation_id: invitation.id };
    await ask(http.DELETE("/v1/members/invitations/{invitation_id}", { params: { path } }));
    await queryClient.invalidateQueries({ queryKey: KEY });
  };
  return (
    <>
      <Button
        variant="subtle"
        color="red"
        size="compact-sm"
        onClick={open}
        aria-label={t("settings.invite.revokeName", { email: invitation.email })}
      >
        {t("settings.revoke")}
      </Button>
      <Confirm
        opened={asking}
        close={close}
        title={t("settings.invite.revokeTitle", { email: invitation.email })}
        action={t("settings.revoke")}
        act={revoke}
      >
        {t("settings.invite.revokeText")}
      </Confirm>
    </>
  );
}

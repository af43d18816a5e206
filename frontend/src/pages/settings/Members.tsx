// The people of the team, and who is invited. Owners change it; others see why they cannot.

import { Button, Select } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { meQuery, queryClient, useMe } from "../../client/session";
import { Confirm } from "../../design/Confirm";
import { Refusal } from "../../design/Notes";
import { day } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import { Invitations } from "./Invitations";
import css from "./Settings.module.css";

type Member = Schemas["Member"];
type Role = Member["role"];

const ROLES = ["owner", "member"] as const satisfies readonly Role[];

export function useRoles(): { value: Role; label: string }[] {
  const { t } = useTranslation();
  return ROLES.map((value) => ({ value, label: t(`settings.roles.${value}`) }));
}

export function Members() {
  const { t } = useTranslation();
  const { role } = useMe();
  const owner = role === "owner";
  const { data, error, refetch } = useQuery({
    queryKey: ["members"],
    queryFn: ({ signal }) => ask(http.GET("/v1/members", { signal })),
  });
  const columns: Column<Member>[] = [
    {
      key: "email",
      head: t("settings.members.person"),
      cell: (member) => (
        <span className={css.wrap}>
          {member.email}
          {member.you && <span className="dim"> · {t("settings.members.you")}</span>}
        </span>
      ),
    },
    {
      key: "role",
      head: t("settings.profile.role"),
      cell: (member) =>
        owner ? <RoleChoice member={member} /> : t(`settings.roles.${member.role}`),
    },
    {
      key: "since",
      head: t("settings.members.since"),
      align: "right",
      wide: true,
      cell: (member) => <span className="dim">{day(member.joined_at)}</span>,
    },
    {
      key: "act",
      head: <span className="unseen">{t("settings.acts")}</span>,
      align: "right",
      cell: (member) => (owner || member.you) && <Remove member={member} />,
    },
  ];
  return (
    <>
      <Refusal error={error} retry={() => void refetch()} />
      {!owner && <p className={css.why}>{t("settings.members.ownersOnly")}</p>}
      <Panel title={t("settings.members.title")} flush>
        <Table
          label={t("settings.members.title")}
          columns={columns}
          rows={data?.data}
          rowKey={(member) => member.id}
        />
      </Panel>
      {owner && <Invitations />}
    </>
  );
}

function RoleChoice({ member }: { member: Member }) {
  const { t } = useTranslation();
  const roles = useRoles();
  const change = useMutation({
    mutationFn: (role: Role) =>
      ask(
        http.PATCH("/v1/members/{user_id}", {
          params: { path: { user_id: member.id } },
          body: { role },
        }),
      ),
    onSuccess: refreshMembers,
  });
  return (
    <>
      <Select
        size="xs"
        w={112}
        aria-label={t("settings.members.roleOf", { name: member.email })}
        value={change.isPending ? change.variables : member.role}
        data={roles}
        onChange={(role) => role !== null && role !== member.role && change.mutate(role)}
      />
      <Refusal error={change.error} />
    </>
  );
}

function Remove({ member }: { member: Member }) {
  const { t } = useTranslation();
  const [asking, { open, close }] = useDisclosure(false);
  const remove = async () => {
    await ask(http.DELETE("/v1/members/{user_id}", { params: { path: { user_id: member.id } } }));
    await refreshMembers();
  };
  return (
    <>
      <Button
        variant="subtle"
        color="red"
        size="compact-sm"
        onClick={open}
        aria-label={t(member.you ? "settings.members.leave" : "settings.members.removeName", {
          name: member.email,
        })}
      >
        {t(member.you ? "settings.members.leave" : "settings.members.remove")}
      </Button>
      <Confirm
        opened={asking}
        close={close}
        title={t(member.you ? "settings.members.leaveTitle" : "settings.members.removeTitle", {
          name: member.email,
        })}
        action={t(member.you ? "settings.members.leave" : "settings.members.remove")}
        act={remove}
      >
        {t(member.you ? "settings.members.leaveText" : "settings.members.removeText")}
      </Confirm>
    </>
  );
}

/** One's own role or membership may have changed with it. */
async function refreshMembers(): Promise<void> {
  await Promise.all([
    queryClient.invalidateQueries({ queryKey: ["members"] }),
    queryClient.invalidateQueries({ queryKey: meQuery.queryKey }),
  ]);
}

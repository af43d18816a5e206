// Grant, refund, correct: what is typed, then a question that names the tenant and the amount.

import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { newKey } from "../../client/http";
import { refreshMe } from "../../client/session";
import { Confirm } from "../../design/Confirm";
import { credits } from "../../design/numbers";
import { refreshAdmin, type TenantDetail } from "./data";
import { MoveForm } from "./MoveForm";
import { type Move, type MoveKind, send } from "./moves";

const KINDS = ["grant", "refund", "correction"] as const satisfies readonly MoveKind[];

export function MoveCredits({ tenant }: { tenant: TenantDetail }) {
  const { t } = useTranslation();
  const [kind, setKind] = useState<MoveKind>("grant");
  const [typing, { open, close }] = useDisclosure(false);
  const [asked, setAsked] = useState<{ move: Move; key: string } | null>(null);
  const start = (chosen: MoveKind) => {
    setKind(chosen);
    open();
  };
  const act = async () => {
    if (asked === null) return;
    const moved = await send(tenant.id, asked.move, asked.key);
    close();
    refreshMe();
    await refreshAdmin();
    const n = credits(moved.available);
    notifications.show({ message: t("admin.move.done", { name: tenant.name, n }) });
  };
  const named = asked === null ? null : { n: credits(asked.move.amount), name: tenant.name };
  return (
    <>
      {KINDS.map((each) => (
        <Button key={each} variant="default" onClick={() => start(each)}>
          {t(`admin.move.kinds.${each}.action`)}
        </Button>
      ))}
      {/* The same key for every try of one answer: asked twice, moved once. */}
      <MoveForm
        kind={kind}
        tenant={tenant}
        opened={typing}
        hidden={asked !== null}
        close={close}
        next={(move) => setAsked({ move, key: newKey() })}
      />
      <Confirm
        opened={asked !== null}
        close={() => setAsked(null)}
        title={named === null ? "" : t(`admin.move.kinds.${kind}.title`, named)}
        action={t(`admin.move.kinds.${kind}.action`)}
        keep={t("common.cancel")}
        color={kind === "correction" ? "red" : "accent"}
        act={act}
      >
        {t(`admin.move.kinds.${kind}.text`)}
        {asked !== null && <p>{t("admin.move.because", { reason: asked.move.reason })}</p>}
      </Confirm>
    </>
  );
}

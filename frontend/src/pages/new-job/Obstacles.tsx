// Why the job cannot start as it stands, each with the act that mends it.

import { Button } from "@mantine/core";
import { CircleAlert, LoaderCircle } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Refused, type Schemas } from "../../client/http";
import { useMe } from "../../client/session";
import { AnchorLink, ButtonLink } from "../../design/links";
import { Refusal, useRefusal } from "../../design/Notes";
import { credits, whole } from "../../design/numbers";
import { useReport } from "../datasets/data";
import { missingCredits, useForm } from "./form";
import css from "./NewJob.module.css";
import { SETTING_NAMES } from "./parameters";
import { useRepair } from "./useRepair";

export function Obstacles() {
  const { t } = useTranslation();
  const { file, problems, quoted, draft, edit } = useForm();
  const me = useMe();
  if (file === null) return null;
  const wrong = SETTING_NAMES.filter((name) => problems[name] !== undefined);
  if (Object.keys(problems).length > 0) {
    const names = wrong.map((name) => t(`newJob.settings.${name}.name`));
    if (wrong.length < Object.keys(problems).length) names.push(t("newJob.settings.weight.name"));
    return (
      <Obstacle>
        {t("newJob.quote.fields", { count: names.length, names: names.join(", ") })}
      </Obstacle>
    );
  }
  const { answer, error, fresh } = quoted;
  if (error !== null) return <Refusal error={error} retry={() => void quoted.again()} />;
  if (answer === null) return null;
  if (answer.status === "preparing") {
    return (
      <p className={css.working} role="status">
        <LoaderCircle size={14} aria-hidden="true" />
        {t(file.status === "uploaded" ? "newJob.quote.preparingFile" : "newJob.quote.preparing")}
      </p>
    );
  }
  if (answer.status === "refused") {
    return answer.error && fresh ? <RowsRefused file={file} error={answer.error} /> : null;
  }
  const missing = missingCredits(answer, me);
  if (missing === 0) return null;
  return (
    <Obstacle
      mends={
        <>
          <ButtonLink to="/credits" size="xs">
            {t("newJob.quote.redeem")}
          </ButtonLink>
          {draft.preset !== "economical" && (
            <Button variant="default" size="xs" onClick={() => edit({ preset: "economical" })}>
              {t("newJob.quote.lower")}
            </Button>
          )}
        </>
      }
    >
      {t("newJob.quote.short", { credits: credits(missing) })}
    </Obstacle>
  );
}

function Obstacle({ children, mends }: { children: ReactNode; mends?: ReactNode }) {
  return (
    <div className={css.obstacle} role="alert">
      <CircleAlert size={16} aria-hidden="true" />
      <div>
        <div>{children}</div>
        {mends !== undefined && <div className={css.mends}>{mends}</div>}
      </div>
    </div>
  );
}

/** Rows that cannot be trained on: repair them, leave them out, or move the cutoff. */
function RowsRefused({ file, error }: { file: Schemas["File"]; error: Schemas["ErrorDetail"] }) {
  const { t } = useTranslation();
  const { set, quoted, bases } = useForm();
  const report = useReport(file.id, file.status === "processed");
  const repair = useRepair(file.id);
  const said = useRefusal(asRefused(error));
  const found = report.data?.encoding?.report;
  const refusedFile = error.param === "validation_file" ? null : found;
  const unrepaired = refusedFile?.unrepaired_rows ?? 0;
  const bad = (refusedFile?.bad_rows ?? 0) + unrepaired;
  const { skip_bad_rows: skip, over_long: overLong, cutoff_len: cutoff } = quoted.values;
  const badStands = bad > 0 && skip !== true;
  // The report is of the default cutoff; with one of one's own, what else can it be.
  const recipe = report.data?.encoding?.recipe;
  const asked = Number(cutoff ?? (recipe && "cutoff_len" in recipe ? recipe.cutoff_len : 0));
  const longStands =
    (overLong === undefined || overLong === "" || overLong === "refuse") &&
    error.code === "invalid_training_file" &&
    ((refusedFile?.too_long_rows ?? 0) > 0 || asked < (refusedFile?.longest_row ?? 0));
  const proposed = refusedFile?.proposed_cutoff_len ?? 0;
  if (!badStands && !longStands) {
    return (
      <Obstacle
        mends={
          <AnchorLink to="/datasets/$fileId" params={{ fileId: file.id }}>
            {t("newJob.data.report")}
          </AnchorLink>
        }
      >
        {said && <p>{said.sentence}</p>}
        {said?.detail && <p className="dim">{said.detail}</p>}
        {error.param === "model" && bases.length > 1 && <p>{t("newJob.quote.otherBase")}</p>}
      </Obstacle>
    );
  }
  return (
    <Obstacle
      mends={
        <>
          {badStands && unrepaired > 0 && (
            <Button
              size="xs"
              loading={repair.isPending}
              onClick={() => repair.mutate({ accept_all_repairs: true })}
            >
              {t("newJob.data.repair", { count: unrepaired, n: whole(unrepaired) })}
            </Button>
          )}
          {badStands && (
            <Button variant="default" size="xs" onClick={() => set("skip_bad_rows", true)}>
              {t("newJob.quote.skip")}
            </Button>
          )}
          {longStands && (
            <>
              <Button variant="default" size="xs" onClick={() => set("over_long", "drop")}>
                {t("newJob.quote.drop")}
              </Button>
              <Button variant="default" size="xs" onClick={() => set("over_long", "cut")}>
                {t("newJob.quote.cutThem")}
              </Button>
              {proposed > asked && (
                <Button
                  variant="default"
                  size="xs"
                  onClick={() => set("cutoff_len", String(proposed))}
                >
                  {t("newJob.quote.raise", { tokens: whole(proposed) })}
                </Button>
              )}
            </>
          )}
          <AnchorLink
            to="/datasets/$fileId"
            params={{ fileId: file.id }}
            search={{ tab: "findings" }}
          >
            {t("newJob.data.report")}
          </AnchorLink>
        </>
      }
    >
      {badStands && <p>{t("newJob.quote.badRows", { count: bad, n: whole(bad) })}</p>}
      {longStands && <p>{t("newJob.quote.longRows", { tokens: whole(asked) })}</p>}
      <details className={css.said}>
        <summary>{t("newJob.quote.said")}</summary>
        <p>{error.message}</p>
      </details>
      <Refusal error={repair.error} />
    </Obstacle>
  );
}

function asRefused(error: Schemas["ErrorDetail"]): Refused {
  return new Refused(error.message, 400, error.code, error.param, null);
}

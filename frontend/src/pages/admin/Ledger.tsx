// The check of the books: what was looked at and when, and each row that breaks an invariant.

import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { CircleAlert, CircleCheck } from "lucide-react";
import { useTranslation } from "react-i18next";
import { ask, http, type Schemas } from "../../client/http";
import { Refusal } from "../../design/Notes";
import { fineDuration, moment } from "../../design/numbers";
import { Panel } from "../../design/Panel";
import { type Column, Table } from "../../design/Table";
import css from "./Admin.module.css";
import { invariantNumber } from "./campaigns";

type Check = Schemas["LedgerCheck"];
type Finding = Schemas["LedgerFinding"];

interface Checked {
  check: Check;
  at: number;
  seconds: number;
}

async function runCheck(): Promise<Checked> {
  const started = Date.now();
  const check = await ask(http.GET("/v1/admin/ledger/check"));
  return { check, at: started / 1_000, seconds: (Date.now() - started) / 1_000 };
}

export function Ledger() {
  const { t } = useTranslation();
  const { data, error, mutate, isPending } = useMutation({ mutationFn: runCheck });
  return (
    <>
      <Panel
        title={t("admin.ledger.title")}
        actions={
          <Button loading={isPending} onClick={() => mutate()}>
            {t(data === undefined ? "admin.ledger.run" : "admin.ledger.again")}
          </Button>
        }
      >
        <p className={css.prose}>{t("admin.ledger.text")}</p>
        <Refusal error={error} retry={() => mutate()} />
        {data && <Verdict checked={data} />}
      </Panel>
      {data && data.check.findings.length > 0 && <Findings findings={data.check.findings} />}
      {data && <Invariants check={data.check} />}
    </>
  );
}

function Verdict({ checked: { check, at, seconds } }: { checked: Checked }) {
  const { t } = useTranslation();
  const Icon = check.right ? CircleCheck : CircleAlert;
  const count = check.findings.length;
  return (
    <div className={check.right ? css.right : css.wrong} role="status">
      <Icon size={16} aria-hidden="true" />
      <div>
        <p>{check.right ? t("admin.ledger.nothing") : t("admin.ledger.found", { count })}</p>
        <p>
          {t("admin.ledger.checked", {
            count: check.invariants.length,
            when: moment(at),
            duration: fineDuration(seconds),
          })}
        </p>
      </div>
    </div>
  );
}

function Findings({ findings }: { findings: readonly Finding[] }) {
  const { t } = useTranslation();
  const columns: Column<Finding & { key: string }>[] = [
    {
      key: "invariant",
      head: t("admin.ledger.invariant"),
      cell: (finding) => (
        <>
          {finding.invariant}
          <small>
            <Meaning invariant={finding.invariant} />
          </small>
        </>
      ),
    },
    {
      key: "row",
      head: t("admin.ledger.row"),
      cell: (finding) => <code className={css.id}>{finding.row}</code>,
    },
    { key: "what", head: t("admin.ledger.what"), cell: (finding) => finding.what },
  ];
  return (
    <Panel title={t("admin.ledger.findings")} flush>
      <Table
        label={t("admin.ledger.findings")}
        columns={columns}
        rows={findings.map((finding, index) => ({ ...finding, key: String(index) }))}
        rowKey={(finding) => finding.key}
      />
    </Panel>
  );
}

function Invariants({ check }: { check: Check }) {
  const { t } = useTranslation();
  const broken = new Set(check.findings.map((finding) => finding.invariant));
  return (
    <Panel title={t("admin.ledger.all")}>
      <ul className={css.invariants}>
        {check.invariants.map((invariant) => {
          const holds = !broken.has(invariant);
          return (
            <li key={invariant}>
              <span className={holds ? "tone-good" : "tone-bad"}>
                {t(holds ? "admin.ledger.holds" : "admin.ledger.broken")}
              </span>
              <span>{invariant}</span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

const MEANINGS = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I12"] as const;

/** What it means where an invariant of that number is broken, and what to do first. */
function Meaning({ invariant }: { invariant: string }) {
  const { t } = useTranslation();
  const number = invariantNumber(invariant);
  const known = MEANINGS.find((each) => each === number);
  return (
    <>{t(known === undefined ? "admin.ledger.meanings.other" : `admin.ledger.meanings.${known}`)}</>
  );
}

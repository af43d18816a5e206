// How much of a limit is used: the numbers, and a bar that changes its tone near the end.

import { Skeleton } from "@mantine/core";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { percent } from "../../design/numbers";
import css from "./Meter.module.css";

const NEAR = 0.9;

interface MeterProps {
  label: string;
  /** null: nobody counts it in a way that could be shown. undefined: loading. */
  used: number | null | undefined;
  most: number | undefined;
  show: (value: number) => ReactNode;
  /** Of credits, 0 is no limit; of jobs, it is none at all. */
  zeroIsNone?: boolean;
}

export function Meter({ label, used, most, show, zeroIsNone = false }: MeterProps) {
  const { t } = useTranslation();
  if (used === undefined || most === undefined) {
    return (
      <div className={css.meter}>
        <span>{label}</span>
        <Skeleton width={120} height={12} />
      </div>
    );
  }
  if (zeroIsNone && most === 0) {
    return (
      <div className={css.meter}>
        <span>{label}</span>
        <span>
          {used !== null && show(used)}
          <span className="dim"> · {t("credits.limits.none")}</span>
        </span>
      </div>
    );
  }
  if (used === null) {
    return (
      <div className={css.meter}>
        <span>{label}</span>
        <span>{show(most)}</span>
      </div>
    );
  }
  const share = most === 0 ? 1 : Math.min(1, used / most);
  const tone = share >= 1 ? css.full : share >= NEAR ? css.near : css.calm;
  return (
    <div className={css.meter}>
      <span>{label}</span>
      <span>
        {show(used)} <span className="dim">/</span> {show(most)}
        {share >= NEAR && <span className="dim"> · {percent(share, 0)}</span>}
      </span>
      <div className={css.track} aria-hidden="true">
        <i className={tone} style={{ width: `${share * 100}%` }} />
      </div>
    </div>
  );
}

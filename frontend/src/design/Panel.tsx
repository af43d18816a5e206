// A surface with a heading: everything on a page stands on one.

import type { ReactNode } from "react";
import css from "./Panel.module.css";

interface PanelProps {
  title?: string;
  /** Right of the heading. */
  actions?: ReactNode;
  /** Tables and charts bring their own margins. */
  flush?: boolean;
  children: ReactNode;
}

export function Panel({ title, actions, flush = false, children }: PanelProps) {
  const head = title !== undefined || actions !== undefined;
  return (
    <section className={css.panel} aria-label={title}>
      {head && (
        <header className={css.head}>
          {title !== undefined && <h2 className={css.title}>{title}</h2>}
          {actions !== undefined && <div className={css.actions}>{actions}</div>}
        </header>
      )}
      <div className={flush ? undefined : css.body}>{children}</div>
    </section>
  );
}

/** Terms and values, numbers to the right. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className={css.facts}>
      {rows.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A strip of figures: the value large, the word under it. */
export function Figures({
  items,
}: {
  items: readonly { label: string; value: ReactNode; tone?: string; hint?: string }[];
}) {
  return (
    <dl className={css.figures}>
      {items.map((item) => (
        <div key={item.label} title={item.hint}>
          <dd className={item.tone}>{item.value}</dd>
          <dt>{item.label}</dt>
        </div>
      ))}
    </dl>
  );
}

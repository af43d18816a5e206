// A page's frame: title, what one can do there, and its content at the reading width.

import { type ReactNode, useEffect } from "react";
import css from "./Page.module.css";

interface PageProps {
  title: string;
  /** Beside the title: a status, an id. */
  aside?: ReactNode;
  actions?: ReactNode;
  /** Above the title: where this page belongs. */
  crumb?: ReactNode;
  /** Charts and tables take the whole width. */
  wide?: boolean;
  children: ReactNode;
}

export function Page({ title, aside, actions, crumb, wide = false, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Tunery`;
  }, [title]);
  return (
    <div className={wide ? css.wide : css.page}>
      {crumb !== undefined && <nav className={css.crumb}>{crumb}</nav>}
      <header className={css.head}>
        <h1 className={css.title}>{title}</h1>
        {aside}
        {actions !== undefined && <div className={css.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}

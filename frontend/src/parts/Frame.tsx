// The frame of every page behind the door: where you are, who you are, what you have.

import type { ReactNode } from "react";
import type { Me } from "../client/wire";
import { JOBS_HREF } from "../hooks/useRoute";
import { useSession } from "../hooks/useSession";
import { words } from "../words";
import { credits, exactCredits } from "./numbers";

export function Frame({ me, children }: { me: Me; children: ReactNode }) {
  const { signOut } = useSession();
  return (
    <>
      <header className="frame">
        <nav aria-label={words.nav.main}>
          <a className="brand" href={JOBS_HREF}>
            <img src="/icon.svg" alt="" width="20" height="20" />
            {words.product}
          </a>
          <a href={JOBS_HREF} aria-current="page">
            {words.nav.jobs}
          </a>
        </nav>
        <span className="balance" title={exactCredits(me.credits.available)}>
          <b>{credits(me.credits.available)}</b> {words.nav.credits}
        </span>
        <span className="tenant" title={me.user.email}>
          {me.tenant.name}
        </span>
        <button type="button" className="plain" onClick={() => void signOut()}>
          {words.nav.signOut}
        </button>
      </header>
      {children}
    </>
  );
}

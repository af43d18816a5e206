// The entry: who is there, and which page they asked for.

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./style.css";
import { JOBS_HREF, useRoute } from "./hooks/useRoute";
import { SessionProvider, useSession } from "./hooks/useSession";
import { Door } from "./pages/Door";
import { JobPage } from "./pages/JobPage";
import { Jobs } from "./pages/Jobs";
import { Frame } from "./parts/Frame";
import { Refusal } from "./parts/Refusal";
import { words } from "./words";

function Portal() {
  const { me, error, refresh } = useSession();
  if (me === undefined) {
    return error === null ? null : (
      <main className="page">
        <Refusal error={error} retry={() => void refresh()} />
      </main>
    );
  }
  if (me === null) return <Door />;
  return (
    <Frame me={me}>
      <Room />
    </Frame>
  );
}

function Room() {
  const route = useRoute();
  switch (route.page) {
    case "jobs":
      return <Jobs />;
    case "job":
      return <JobPage key={route.id} id={route.id} />;
    case "unknown":
      return (
        <main className="page">
          <p>{words.errors.noPage}</p>
          <a href={JOBS_HREF}>{words.errors.noPageNext}</a>
        </main>
      );
  }
}

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <SessionProvider>
      <Portal />
    </SessionProvider>
  </StrictMode>,
);

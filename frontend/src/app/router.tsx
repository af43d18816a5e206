// Every address of the portal. Pages are loaded when they are first opened.

import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Navigate,
  redirect,
} from "@tanstack/react-router";
import { meQuery, queryClient } from "../client/session";
import { Broken, Lost } from "./Broken";

const root = createRootRoute({ notFoundComponent: Lost, errorComponent: Broken });

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** `?file=a&model=b`: only what is there, so that addresses stay short. */
const texts =
  <Name extends string>(...names: Name[]) =>
  (search: Record<string, unknown>): { [Key in Name]?: string } => {
    const found: { [Key in Name]?: string } = {};
    for (const name of names) {
      const value = text(search[name]);
      if (value !== undefined) found[name] = value;
    }
    return found;
  };

// -- outside ---------------------------------------------------------------------------------------

const outside = createRoute({
  getParentRoute: () => root,
  id: "outside",
  beforeLoad: async ({ search }) => {
    if ((await queryClient.ensureQueryData(meQuery)) === null) return;
    const next = text((search as Record<string, unknown>).next);
    throw next?.startsWith("/") && !next.startsWith("//")
      ? redirect({ href: next })
      : redirect({ to: "/" });
  },
});
const signIn = createRoute({
  getParentRoute: () => outside,
  path: "/sign-in",
  validateSearch: texts("next"),
  component: lazyRouteComponent(() => import("../pages/door/Door"), "SignIn"),
});
const signUp = createRoute({
  getParentRoute: () => outside,
  path: "/sign-up",
  validateSearch: texts("next", "referral"),
  component: lazyRouteComponent(() => import("../pages/door/Door"), "SignUp"),
});
const join = createRoute({
  getParentRoute: () => root,
  path: "/join/$token",
  component: lazyRouteComponent(() => import("../pages/door/Door"), "Join"),
});

// -- inside ----------------------------------------------------------------------------------------

const inside = createRoute({
  getParentRoute: () => root,
  id: "inside",
  component: lazyRouteComponent(() => import("./Shell"), "Shell"),
  beforeLoad: async ({ location }) => {
    if ((await queryClient.ensureQueryData(meQuery)) !== null) return;
    const next = location.href === "/" ? {} : { next: location.href };
    throw redirect({ to: "/sign-in", search: next });
  },
});
const home = createRoute({
  getParentRoute: () => inside,
  path: "/",
  component: () => <Navigate to="/jobs" replace />,
});
const welcome = createRoute({
  getParentRoute: () => inside,
  path: "/welcome",
  component: lazyRouteComponent(() => import("../pages/door/Welcome"), "Welcome"),
});
const datasets = createRoute({
  getParentRoute: () => inside,
  path: "/datasets",
  component: lazyRouteComponent(() => import("../pages/datasets/Datasets"), "Datasets"),
});
const dataset = createRoute({
  getParentRoute: () => inside,
  path: "/datasets/$fileId",
  validateSearch: texts("tab", "line", "verdict", "code", "model"),
  component: lazyRouteComponent(() => import("../pages/datasets/Dataset"), "Dataset"),
});
const jobs = createRoute({
  getParentRoute: () => inside,
  path: "/jobs",
  validateSearch: texts("status", "q", "model", "compare"),
  component: lazyRouteComponent(() => import("../pages/jobs/Jobs"), "Jobs"),
});
const newJob = createRoute({
  getParentRoute: () => inside,
  path: "/jobs/new",
  validateSearch: texts("file", "model", "from"),
  component: lazyRouteComponent(() => import("../pages/new-job/NewJob"), "NewJob"),
});
const job = createRoute({
  getParentRoute: () => inside,
  path: "/jobs/$jobId",
  component: lazyRouteComponent(() => import("../pages/jobs/JobPage"), "JobPage"),
});
const receipt = createRoute({
  getParentRoute: () => inside,
  path: "/jobs/$jobId/receipt",
  component: lazyRouteComponent(() => import("../pages/credits/Receipt"), "Receipt"),
});
const models = createRoute({
  getParentRoute: () => inside,
  path: "/models",
  component: lazyRouteComponent(() => import("../pages/models/Models"), "Models"),
});
const playground = createRoute({
  getParentRoute: () => inside,
  path: "/playground",
  validateSearch: texts("models", "job"),
  component: lazyRouteComponent(() => import("../pages/playground/Playground"), "Playground"),
});
const credits = createRoute({
  getParentRoute: () => inside,
  path: "/credits",
  validateSearch: texts("tab", "since", "until", "by", "period"),
  component: lazyRouteComponent(() => import("../pages/credits/Credits"), "Credits"),
});
const settings = createRoute({
  getParentRoute: () => inside,
  path: "/settings",
  validateSearch: texts("tab"),
  component: lazyRouteComponent(() => import("../pages/settings/Settings"), "Settings"),
});
const admin = createRoute({
  getParentRoute: () => inside,
  path: "/admin",
  validateSearch: texts("tab", "tenant", "campaign", "q"),
  component: lazyRouteComponent(() => import("../pages/admin/Admin"), "Admin"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    outside.addChildren([signIn, signUp]),
    join,
    inside.addChildren([
      home,
      welcome,
      datasets,
      dataset,
      jobs,
      newJob,
      job,
      receipt,
      models,
      playground,
      credits,
      settings,
      admin,
    ]),
  ]),
  basepath: "/app",
  // Addresses are words: what a person types as `?line=12` is the same as what a link writes.
  parseSearch: (search) => Object.fromEntries(new URLSearchParams(search)),
  stringifySearch: (search) => {
    const words = new URLSearchParams();
    for (const [name, value] of Object.entries(search)) {
      if (value !== undefined && value !== null) words.set(name, String(value));
    }
    return words.size > 0 ? `?${words}` : "";
  },
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

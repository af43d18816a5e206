// Signing in, signing up, and joining a team by an invitation's link.

import { Button, Skeleton, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useRouter, useSearch } from "@tanstack/react-router";
import { Languages } from "lucide-react";
import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { ask, http, Refused } from "../../client/http";
import { forgetEverything, type Me, meQuery, queryClient } from "../../client/session";
import { AnchorLink } from "../../design/links";
import { Refusal } from "../../design/Notes";
import { Password } from "../../design/Password";
import { language, speak } from "../../words";
import css from "./Door.module.css";

export function SignIn() {
  const { t } = useTranslation();
  const { next } = useSearch({ from: "/outside/sign-in" });
  const enter = useEnter();
  return (
    <Door
      title={t("door.signIn")}
      send={async (field) => {
        const body = { email: field("email"), password: field("password") };
        enter(await ask(http.POST("/v1/auth/sign-in", { body })), next ?? "/");
      }}
      other={
        <AnchorLink to="/sign-up" search={next === undefined ? {} : { next }}>
          {t("door.toSignUp")}
        </AnchorLink>
      }
    >
      <Email />
      <OldPassword />
    </Door>
  );
}

export function SignUp() {
  const { t } = useTranslation();
  const { next, referral } = useSearch({ from: "/outside/sign-up" });
  const enter = useEnter();
  return (
    <Door
      title={t("door.signUp")}
      send={async (field) => {
        const body = {
          email: field("email"),
          password: field("password"),
          tenant: field("tenant"),
          referral: field("referral"),
        };
        enter(await ask(http.POST("/v1/auth/sign-up", { body })), next ?? "/welcome");
      }}
      other={
        <AnchorLink to="/sign-in" search={next === undefined ? {} : { next }}>
          {t("door.toSignIn")}
        </AnchorLink>
      }
    >
      <Email />
      <NewPassword />
      <TextInput
        name="tenant"
        label={t("door.tenant")}
        autoComplete="organization"
        maxLength={100}
        required
        withAsterisk={false}
      />
      {referral === undefined ? null : (
        <TextInput
          name="referral"
          label={t("door.referral")}
          description={t("door.referralHint")}
          defaultValue={referral}
        />
      )}
    </Door>
  );
}

export function Join() {
  const { t } = useTranslation();
  const { token } = useParams({ from: "/join/$token" });
  const enter = useEnter();
  const invitation = useQuery({
    queryKey: ["invitation", token],
    queryFn: ({ signal }) => ask(http.POST("/v1/auth/invitation", { body: { token }, signal })),
    staleTime: 60_000,
  });
  const invited = invitation.data;
  if (invited === undefined) {
    return (
      <Frame title={t("door.join.title")}>
        {invitation.error ? (
          <div className={css.refused}>
            <Refusal
              error={invitation.error}
              {...(mayPass(invitation.error) && { retry: () => void invitation.refetch() })}
            />
          </div>
        ) : (
          <Skeleton className={css.waiting} height={220} />
        )}
        <AnchorLink to="/sign-in">{t("door.toSignIn")}</AnchorLink>
      </Frame>
    );
  }
  return (
    <Door
      title={t("door.join.titleOf", { tenant: invited.tenant })}
      text={t(invited.known ? "door.join.known" : "door.join.new")}
      action={t("door.join.action")}
      send={async (field) => {
        const body = { token, password: field("password") };
        const me = await ask(http.POST("/v1/auth/join", { body }));
        forgetEverything();
        enter(me, "/");
      }}
    >
      <TextInput
        type="email"
        label={t("door.email")}
        autoComplete="username"
        value={invited.email}
        readOnly
      />
      {invited.known ? <OldPassword /> : <NewPassword />}
    </Door>
  );
}

/** Of an invitation that was used or revoked a second try says the same. */
function mayPass(error: Error): boolean {
  return error instanceof Refused && (error.status === 0 || error.status >= 500);
}

interface DoorProps {
  title: string;
  text?: string;
  action?: string;
  send: (field: (name: string) => string) => Promise<void>;
  other?: ReactNode;
  children: ReactNode;
}

function Door({ title, text, action, send, other, children }: DoorProps) {
  const { t } = useTranslation();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setError(null);
    try {
      await send((name) => String(form.get(name) ?? ""));
    } catch (caught) {
      setError(caught as Error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Frame title={title} text={text ?? t("door.promise")}>
      <form className={css.form} onSubmit={(event) => void submit(event)}>
        {children}
        <Refusal error={error} />
        <Button type="submit" loading={busy} fullWidth>
          {action ?? title}
        </Button>
      </form>
      {other}
    </Frame>
  );
}

interface FrameProps {
  title: string;
  text?: string;
  children: ReactNode;
}

function Frame({ title, text, children }: FrameProps) {
  const { t } = useTranslation();
  useEffect(() => {
    document.title = `${title} · Tunery`;
  }, [title]);
  return (
    <main className={css.door}>
      <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width={40} height={40} />
      <h1>{title}</h1>
      {text !== undefined && <p className="dim">{text}</p>}
      {children}
      <button
        type="button"
        className={css.language}
        onClick={() => void speak(language() === "en" ? "zh" : "en")}
      >
        <Languages size={14} aria-hidden="true" /> {t("nav.otherLanguage")}
      </button>
    </main>
  );
}

function Email() {
  const { t } = useTranslation();
  return (
    <TextInput
      name="email"
      type="email"
      label={t("door.email")}
      autoComplete="username"
      required
      withAsterisk={false}
      data-autofocus
    />
  );
}

function OldPassword() {
  const { t } = useTranslation();
  return <Password name="password" label={t("door.password")} autoComplete="current-password" />;
}

function NewPassword() {
  const { t } = useTranslation();
  return (
    <Password
      name="password"
      label={t("door.password")}
      description={t("door.passwordHint")}
      autoComplete="new-password"
      minLength={12}
    />
  );
}

/** The answer of signing in is `me`: no second question before the first page. */
function useEnter(): (me: Me, to: string) => void {
  const navigate = useNavigate();
  const router = useRouter();
  return (me, to) => {
    queryClient.setQueryData(meQuery.queryKey, me);
    if (to.startsWith("/")) router.history.push(`/app${to === "/" ? "" : to}`);
    else void navigate({ to: "/" });
  };
}

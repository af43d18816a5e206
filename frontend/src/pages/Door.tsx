// Signing in and signing up: one form, two sets of fields.

import { type FormEvent, useState } from "react";
import { api } from "../client/api";
import { useSession } from "../hooks/useSession";
import { Refusal } from "../parts/Refusal";
import { words } from "../words";

export function Door() {
  const { refresh } = useSession();
  const [isNew, setNew] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const field = (name: string) => String(form.get(name) ?? "");
    setBusy(true);
    setError(null);
    try {
      if (isNew) await api.signUp(field("email"), field("password"), field("tenant"));
      else await api.signIn(field("email"), field("password"));
      await refresh();
    } catch (caught) {
      setError(caught as Error);
    } finally {
      setBusy(false);
    }
  };

  const action = isNew ? words.door.signUp : words.door.signIn;
  return (
    <main className="door">
      <h1>{words.product}</h1>
      <p className="promise">{words.door.promise}</p>
      <form className="card" onSubmit={submit}>
        <label>
          {words.door.email}
          <input name="email" type="email" autoComplete="username" required />
        </label>
        <label>
          {words.door.password}
          <input
            name="password"
            type="password"
            autoComplete={isNew ? "new-password" : "current-password"}
            minLength={isNew ? 12 : undefined}
            placeholder={isNew ? words.door.passwordHint : undefined}
            required
          />
        </label>
        {isNew && (
          <label>
            {words.door.tenant}
            <input name="tenant" autoComplete="organization" maxLength={100} required />
          </label>
        )}
        {error !== null && <Refusal error={error} />}
        <button type="submit" className="primary" disabled={busy}>
          {action}
        </button>
      </form>
      <button
        type="button"
        className="plain"
        onClick={() => {
          setNew(!isNew);
          setError(null);
        }}
      >
        {isNew ? words.door.toSignIn : words.door.toSignUp}
      </button>
    </main>
  );
}

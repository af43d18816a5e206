// Who is signed in. A 401 from anywhere ends the session on screen too.

import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useState,
} from "react";
import { api, Refused } from "../client/api";
import type { Me } from "../client/wire";

interface Session {
  /** undefined: not known yet; null: nobody. */
  me: Me | null | undefined;
  error: Error | null;
  refresh: () => Promise<void>;
  signOut: () => Promise<void>;
  /** Hands an error on, unless it says that the session is over. */
  unlessSignedOut: (error: unknown) => Error | null;
}

const SessionContext = createContext<Session | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [me, setMe] = useState<Me | null | undefined>(undefined);
  const [error, setError] = useState<Error | null>(null);

  const unlessSignedOut = useCallback((caught: unknown): Error | null => {
    if (caught instanceof Refused && caught.status === 401) {
      setMe(null);
      return null;
    }
    return caught instanceof Error ? caught : new Error(String(caught));
  }, []);

  const refresh = useCallback(async () => {
    try {
      setMe(await api.me());
      setError(null);
    } catch (caught) {
      setError(unlessSignedOut(caught));
    }
  }, [unlessSignedOut]);

  const signOut = useCallback(async () => {
    try {
      await api.signOut();
      setMe(null);
    } catch (caught) {
      setError(unlessSignedOut(caught));
    }
  }, [unlessSignedOut]);

  useEffect(() => {
    void refresh();
  }, [refresh]);

  const session = useMemo(
    () => ({ me, error, refresh, signOut, unlessSignedOut }),
    [me, error, refresh, signOut, unlessSignedOut],
  );
  return <SessionContext value={session}>{children}</SessionContext>;
}

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("useSession needs a SessionProvider above it");
  return session;
}

// An error where it arose: what happened, the request id, and the way to try again.

import { Refused } from "../client/api";
import { words } from "../words";

export function Refusal({ error, retry }: { error: Error; retry?: () => void }) {
  const requestId = error instanceof Refused ? error.requestId : null;
  return (
    <div className="refusal" role="alert">
      <p>{error.message}</p>
      {requestId !== null && <code>{words.errors.request(requestId)}</code>}
      {retry !== undefined && (
        <button type="button" className="plain" onClick={retry}>
          {words.errors.retry}
        </button>
      )}
    </div>
  );
}

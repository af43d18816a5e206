// Voucher codes as people type them: read in any writing, checked before anything is sent.

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's: without I, L, O and U
const PREFIX = "TUN";
const RANDOM = 16;
const GROUP = 4;

export interface Read {
  /** As the service writes it: TUN-XXXX-XXXX-XXXX-XXXX-X; as far as it was typed. */
  written: string;
  state: "empty" | "partial" | "complete" | "mistyped";
}

/** The service folds I and L to 1, O to 0, and minds neither case nor dashes; so does this. */
export function readVoucher(typed: string): Read {
  const letters = typed.toUpperCase().replace(/[^0-9A-Z]/g, "");
  if (letters === "") return { written: "", state: "empty" };
  if (PREFIX.startsWith(letters)) return { written: letters, state: "partial" };
  const folded = letters.replace(/^TUN/, "").replace(/[IL]/g, "1").replace(/O/g, "0");
  const random = folded.slice(0, RANDOM);
  const groups = random.match(new RegExp(`.{1,${GROUP}}`, "g")) ?? [];
  const check = folded.slice(RANDOM);
  const written = [PREFIX, ...groups, ...(check === "" ? [] : [check])].join("-");
  return { written, state: stateOf(random, check) };
}

function stateOf(random: string, check: string): Read["state"] {
  if (![...random, ...check].every((letter) => ALPHABET.includes(letter))) return "mistyped";
  if (random.length < RANDOM || check === "") return "partial";
  return check === checkCharacter(random) ? "complete" : "mistyped";
}

/** One digit of base 32: the letters as a polynomial over GF(32), taken at its generator. */
function checkCharacter(random: string): string {
  const doubled = (value: number) => (value & 16 ? (value << 1) ^ 0b100101 : value << 1);
  let total = 0;
  for (const letter of random) total = doubled(total) ^ ALPHABET.indexOf(letter);
  return ALPHABET[doubled(total)] ?? "";
}

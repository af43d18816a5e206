// A sequence of tokens as one reads it: runs of what is learned, what is context, what is control.

import type { Schemas } from "../../client/http";

export type Token = Schemas["Token"];

export interface Piece {
  id: number;
  text: string;
  /** Its place among all tokens, from 0. */
  at: number;
}

export interface Run {
  control: boolean;
  learned: boolean;
  pieces: Piece[];
}

/**
 * Text that spells a control token comes as several tokens, so one token that is spelled like this
 * is one.
 */
const CONTROL =
  /^(<[|｜].+[|｜]>|<\/?(s|bos|eos|pad|unk|sep|cls|mask|think|tool_call|tool_response|tools|start_of_turn|end_of_turn|start_of_image|reserved_\d+)>|\[\/?(INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|THINK)\])$/;

export function isControl(text: string): boolean {
  return CONTROL.test(text);
}

/** Neighbours that look alike, together; each control token stands alone. */
export function runsOf(tokens: readonly Token[]): Run[] {
  const runs: Run[] = [];
  tokens.forEach(({ id, text, supervised }, at) => {
    const control = isControl(text);
    const last = runs.at(-1);
    const piece = { id, text, at };
    if (last !== undefined && !control && !last.control && last.learned === supervised) {
      last.pieces.push(piece);
    } else {
      runs.push({ control, learned: supervised, pieces: [piece] });
    }
  });
  return runs;
}

/** Spaces, tabs and line ends as signs; a line end still ends the line. */
export function visible(text: string): string {
  return text
    .replaceAll(" ", "·")
    .replaceAll("\t", "⇥\t")
    .replaceAll("\r", "␍")
    .replaceAll("\n", "↵\n");
}

// One chat turn, streamed: server-sent events read from a POST, which EventSource cannot do.

import { Refused, refusal, type Schemas } from "./http";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatSettings {
  temperature: number;
  topP: number;
  maxTokens: number;
  seed: number | null;
}

export interface ChatEnd {
  finishReason: string | null;
  promptTokens: number;
  completionTokens: number;
}

/** The request's body, as the wire has it; shown to the reader as code too. */
export function chatBody(model: string, messages: readonly ChatMessage[], set: ChatSettings) {
  return {
    model,
    messages: [...messages],
    temperature: set.temperature,
    top_p: set.topP,
    max_tokens: set.maxTokens,
    ...(set.seed === null ? {} : { seed: set.seed }),
  };
}

/** Calls `onText` with each piece. Throws Refused; an abort throws the DOMException of fetch. */
export async function streamChat(
  body: ReturnType<typeof chatBody>,
  onText: (piece: string) => void,
  signal: AbortSignal,
): Promise<ChatEnd> {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  }).catch((caught: unknown) => {
    if (signal.aborted) throw caught;
    throw new Refused("", 0, null, null, null);
  });
  if (!response.ok || response.body === null) {
    throw refusal(response, await response.json().catch(() => null));
  }
  const end: ChatEnd = { finishReason: null, promptTokens: 0, completionTokens: 0 };
  const events = new EventLines();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return end;
    for (const data of events.take(value)) {
      if (data === "[DONE]") return end;
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error !== undefined) throw refusal(response, chunk);
      const choice = chunk.choices?.[0];
      if (choice?.delta?.content) onText(choice.delta.content);
      if (choice?.finish_reason) end.finishReason = choice.finish_reason;
      if (chunk.usage) {
        end.promptTokens = chunk.usage.prompt_tokens;
        end.completionTokens = chunk.usage.completion_tokens;
      }
    }
  }
}

interface Chunk {
  choices?: { delta?: { content?: string }; finish_reason?: string | null }[];
  usage?: { prompt_tokens: number; completion_tokens: number };
  error?: Partial<Schemas["ErrorDetail"]>;
}

/** The `data:` lines of an event stream, whatever pieces it comes in. */
export class EventLines {
  private rest = "";

  take(piece: string): string[] {
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop() ?? "";
    return lines
      .filter((line) => line.startsWith("data:"))
      .map((line) => line.slice(5).trim())
      .filter((data) => data !== "");
  }
}

// The shapes that cross the wire: OpenAI's fine-tuning job with our fields beside, and our events
// (api/events.py). Written by hand until the client is generated from the OpenAPI document.

export const JOB_STATUSES = [
  "validating_files",
  "queued",
  "running",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
] as const;

export type JobStatus = (typeof JOB_STATUSES)[number];

export function isTerminal(status: JobStatus): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

/** Micro-credits: 1 credit is 1,000,000 of them. */
export type MicroCredits = number;

export interface Me {
  user: { id: string; email: string };
  tenant: { id: string; name: string };
  credits: { available: MicroCredits; held: MicroCredits; posted: MicroCredits };
}

export interface Job {
  id: string;
  name: string | null;
  created_at: number;
  finished_at: number | null;
  model: string;
  fine_tuned_model: string | null;
  status: JobStatus;
  error: { code: string; message: string; param: string | null } | null;
  hyperparameters: Record<string, number | string | null>;
  trained_tokens: number | null;
  training_file: string;
  estimated_finish: number | null;
  seed: number;
  step: number | null;
  total_steps: number | null;
  loss: number | null;
  attempt: number;
  held_credits: MicroCredits;
  charged_credits: MicroCredits;
  eta_seconds: number | null;
  tokens_per_second: number | null;
}

export interface Page<Item> {
  object: "list";
  data: Item[];
  has_more: boolean;
}

export interface AdapterLink {
  url: string;
  bytes: number;
  files: { name: string; bytes: number; sha256: string }[];
}

export interface StatusEvent {
  type: "status";
  status: JobStatus;
  message: string;
  attempt: number;
}

export interface StepEvent {
  type: "step";
  step: number;
  total_steps: number;
  epoch: number;
  loss: number;
  learning_rate: number;
  grad_norm: number;
  trained_tokens: number;
  tokens_per_second: number;
  eta_seconds: number;
}

export interface EvalEvent {
  type: "eval";
  step: number;
  epoch: number;
  loss: number;
  token_accuracy: number;
  rows: number;
}

export interface SampleEvent {
  type: "sample";
  step: number;
  prompt: string;
  text: string;
}

export interface SavedEvent {
  type: "saved";
  step: number;
  trained_tokens: number;
  folder: string;
  train_loss: number | null;
  eval_loss: number | null;
  eval_token_accuracy: number | null;
}

export interface NoticeEvent {
  type: "notice";
  level: "info" | "warn" | "error";
  code: string;
  message: string;
  data: Record<string, number | string>;
}

export type JobEvent = StatusEvent | StepEvent | EvalEvent | SampleEvent | SavedEvent | NoticeEvent;

export const EVENT_TYPES: readonly JobEvent["type"][] = [
  "status",
  "step",
  "eval",
  "sample",
  "saved",
  "notice",
];

/** An event in its place: `seq` orders a job's life and is the SSE id. */
export interface EventRecord<E extends JobEvent = JobEvent> {
  job_id: string;
  seq: number;
  at: string;
  event: E;
}

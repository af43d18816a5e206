// What the model says to the same held-out prompts as it learns.

import type { EventRecord, SampleEvent } from "../client/wire";
import { words } from "../words";

export function Samples({ samples }: { samples: readonly EventRecord<SampleEvent>[] }) {
  if (samples.length === 0) return null;
  const prompts = Map.groupBy(samples, (sample) => sample.event.prompt);
  return (
    <section className="card" aria-label={words.job.samples}>
      <header>
        <h2>{words.job.samples}</h2>
      </header>
      <div className="samples">
        {[...prompts].map(([prompt, said]) => (
          <article className="sample" key={prompt}>
            <h3>{prompt}</h3>
            <dl>
              {said.map(({ seq, event }) => (
                <div key={seq}>
                  <dt>{words.job.sampleAt(event.step)}</dt>
                  <dd>{event.text}</dd>
                </div>
              ))}
            </dl>
          </article>
        ))}
      </div>
    </section>
  );
}

/** Counts for Prometheus, in its text format. */
import type { Host } from './host.ts';

/** Counts and times of an answer. */
export interface AnswerStats {
  readonly promptTokens: number;
  readonly reusedTokens: number;
  readonly tokens: number;
  readonly queuedMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Takes note of what happens. */
export interface Meter {
  request(route: string, status: number): void;
  firstToken(ms: number): void;
  answered(stats: AnswerStats): void;
  /** All of it, as Prometheus reads it. */
  text(host: Host): string;
}

interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[]; // one more than bounds
  sum: number;
}

const FIRST_TOKEN_BOUNDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const TOKEN_BOUNDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

export function createMeter(): Meter {
  const requests = new Map<string, number>();
  const firstTokens = createHistogram(FIRST_TOKEN_BOUNDS);
  const tokenTimes = createHistogram(TOKEN_BOUNDS);
  const totals = { prompt: 0, reused: 0, made: 0 };
  return {
    request(route, status) {
      const key = `route="${route}",status="${status}"`;
      requests.set(key, (requests.get(key) ?? 0) + 1);
    },
    firstToken: (ms) => observe(firstTokens, ms / 1000),
    answered({ promptTokens, reusedTokens, tokens, decodeMs }) {
      totals.prompt += promptTokens;
      totals.reused += reusedTokens;
      totals.made += tokens;
      if (tokens > 1) observe(tokenTimes, decodeMs / 1000 / (tokens - 1));
    },
    text(host) {
      const residents = host.resident();
      const sum = (of: (resident: (typeof residents)[number]) => number) =>
        residents.reduce((total, resident) => total + of(resident), 0);
      const loaded = residents.map(({ name }) => [`model=${JSON.stringify(name)}`, 1] as const);
      const memory = Object.entries(host.memory()).map(([purpose, bytes]) => [`purpose="${purpose}"`, bytes] as const);
      const single = (value: number) => [['', value]] as const;
      return [
        series('requests_total', 'counter', 'Requests by route and status', [...requests]),
        series(
          'requests_running',
          'gauge',
          'Answers that are being made',
          single(sum(({ batch }) => batch.status.running)),
        ),
        series(
          'requests_queued',
          'gauge',
          'Requests that wait for a slot',
          single(sum(({ batch }) => batch.status.queued)),
        ),
        series('slots', 'gauge', 'Answers that can be made at once', single(sum(({ batch }) => batch.slots))),
        series(
          'cache_positions',
          'gauge',
          'Positions that running answers hold',
          single(sum(({ batch }) => batch.status.positions)),
        ),
        series('prompt_tokens_total', 'counter', 'Prompt tokens of answers', single(totals.prompt)),
        series('prompt_tokens_reused_total', 'counter', 'Prompt tokens that were in the cache', single(totals.reused)),
        series('generated_tokens_total', 'counter', 'Tokens of answers', single(totals.made)),
        histogram('time_to_first_token_seconds', 'From a request to its first token', firstTokens),
        histogram('time_per_token_seconds', 'Between the tokens of an answer, its mean', tokenTimes),
        series('memory_bytes', 'gauge', 'Memory of the GPU by purpose', memory),
        series('models_loaded', 'gauge', 'Models in memory', loaded),
        series('device_losses_total', 'counter', 'How often the GPU was lost', single(host.deviceLosses)),
        series('host_memory_bytes', 'gauge', 'Resident memory of the process', single(process.memoryUsage.rss())),
      ].join('');
    },
  };
}

function createHistogram(bounds: readonly number[]): Histogram {
  return { bounds, counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 };
}

function observe(into: Histogram, value: number): void {
  const at = into.bounds.findIndex((bound) => value <= bound);
  const place = at < 0 ? into.bounds.length : at;
  into.counts[place] = (into.counts[place] as number) + 1;
  into.sum += value;
}

function heading(name: string, type: string, help: string): string {
  return `# HELP firstlight_${name} ${help}\n# TYPE firstlight_${name} ${type}\n`;
}

function series(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  values: readonly (readonly [labels: string, value: number])[],
): string {
  const lines = values.map(([labels, value]) => `firstlight_${name}${labels && `{${labels}}`} ${value}\n`);
  return heading(name, type, help) + lines.join('');
}

function histogram(name: string, help: string, { bounds, counts, sum }: Histogram): string {
  let total = 0;
  const lines = counts.map((count, i) => {
    total += count;
    return `firstlight_${name}_bucket{le="${bounds[i] ?? '+Inf'}"} ${total}\n`;
  });
  return `${heading(name, 'histogram', help)}${lines.join('')}firstlight_${name}_sum ${sum}\nfirstlight_${name}_count ${total}\n`;
}

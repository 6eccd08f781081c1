/** The commands, loaded only when they run: `--version` and `--help` need no engine. */
import type { Command } from './arguments.ts';

interface Entry {
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  run: {
    summary: 'let a model answer or go on with a text',
    load: async () => (await import('./run.ts')).run,
  },
  serve: {
    summary: "serve models by OpenAI's and Ollama's APIs",
    load: async () => (await import('./serve.ts')).serve,
  },
  chat: {
    summary: 'talk with a model in the terminal',
    load: async () => (await import('./chat.ts')).chat,
  },
  pull: {
    summary: 'download a model from a hub, or one file from a URL',
    load: async () => (await import('./pull.ts')).pull,
  },
  list: {
    summary: 'list the models that were pulled',
    load: async () => (await import('./list.ts')).list,
  },
  rm: {
    summary: 'remove a model that was pulled',
    load: async () => (await import('./rm.ts')).rm,
  },
  desktop: {
    summary: 'open the app in a window',
    load: async () => (await import('./desktop.ts')).desktop,
  },
  tokenize: {
    summary: "show a text as a model's tokens",
    load: async () => (await import('./tokenize.ts')).tokenize,
  },
  perplexity: {
    summary: 'measure how well a model foretells a text',
    load: async () => (await import('./perplexity.ts')).perplexity,
  },
  logits: {
    summary: 'show the best next tokens at every position of a text',
    load: async () => (await import('./logits.ts')).logits,
  },
  plan: {
    summary: 'show what the GPU does for one token of a model',
    load: async () => (await import('./plan.ts')).plan,
  },
  estimate: {
    summary: 'say what memory a model needs and whether it fits, without loading it',
    load: async () => (await import('./estimate.ts')).estimate,
  },
  devices: {
    summary: "list this machine's GPUs and what they can do",
    load: async () => (await import('./devices.ts')).devices,
  },
  convert: {
    summary: "write a model as firstlight's own file, or back in Hugging Face's layout",
    load: async () => (await import('./convert.ts')).convert,
  },
  doctor: {
    summary: 'check whether this machine is fit, and say what to do',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  bench: {
    summary: "measure a model's speed as llama-bench does",
    load: async () => (await import('./bench.ts')).bench,
  },
  tune: {
    summary: 'find the fastest kernel variants for a model on this GPU',
    load: async () => (await import('./tune.ts')).tune,
  },
};

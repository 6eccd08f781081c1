/** The commands, loaded only when they run: `--version` and `--help` need no engine. */
import type { Command, Examples } from './arguments.ts';

interface Entry {
  readonly summary: string;
  /** For the help: what follows `firstlight NAME`, and what it does. */
  readonly examples: Examples;
  load(): Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  run: {
    summary: 'let a model answer or go on with a text',
    examples: [
      ['', 'the built-in model tells a story'],
      ['"Why is the sky blue?"', 'it answers'],
      [
        'model.gguf "Once upon a time" --raw --temp 0',
        'another model goes on with a text, always by the most probable token',
      ],
      ['model.gguf "Sum this up:" -f notes.txt', 'a question about a file'],
      ['model.gguf "A fox, please." --json-schema fox.json', 'the answer is a document of a schema'],
    ],
    load: async () => (await import('./run.ts')).run,
  },
  serve: {
    summary: "serve models by OpenAI's and Ollama's APIs",
    examples: [
      ['', 'the built-in model on port 11435 of this machine'],
      ['model.gguf --parallel 8', 'eight answers at a time'],
    ],
    load: async () => (await import('./serve.ts')).serve,
  },
  chat: {
    summary: 'talk with a model in the terminal',
    examples: [
      ['', 'talks with the built-in model'],
      ['model.gguf --system "Answer briefly."', 'another model, told what to be like'],
    ],
    load: async () => (await import('./chat.ts')).chat,
  },
  pull: {
    summary: 'download a model from a hub, or one file from a URL',
    examples: [
      ['Qwen/Qwen2.5-0.5B-Instruct', 'a model in its own layout'],
      ['OWNER/NAME:Q4_K_M', 'one GGUF file of a model'],
    ],
    load: async () => (await import('./pull.ts')).pull,
  },
  list: {
    summary: 'list the models that were pulled',
    examples: [['', 'names, sizes and where they came from']],
    load: async () => (await import('./list.ts')).list,
  },
  rm: {
    summary: 'remove a model that was pulled',
    examples: [['Qwen/Qwen2.5-0.5B-Instruct', 'frees its space']],
    load: async () => (await import('./rm.ts')).rm,
  },
  desktop: {
    summary: 'open the app in a window',
    examples: [
      ['', 'in a window of its own'],
      ['--install', 'an entry in the menu, without root'],
    ],
    load: async () => (await import('./desktop.ts')).desktop,
  },
  tokenize: {
    summary: "show a text as a model's tokens",
    examples: [['model.gguf "Hello world"', 'ids and pieces']],
    load: async () => (await import('./tokenize.ts')).tokenize,
  },
  perplexity: {
    summary: 'measure how well a model foretells a text',
    examples: [['model.gguf text.txt', 'lower is better']],
    load: async () => (await import('./perplexity.ts')).perplexity,
  },
  logits: {
    summary: 'show the best next tokens at every position of a text',
    examples: [['model.gguf --ids 1,2,3 --top 5', 'the five best after each id']],
    load: async () => (await import('./logits.ts')).logits,
  },
  plan: {
    summary: 'show what the GPU does for one token of a model',
    examples: [['model.gguf', 'every dispatch and the memory it takes']],
    load: async () => (await import('./plan.ts')).plan,
  },
  estimate: {
    summary: 'say what memory a model needs and whether it fits, without loading it',
    examples: [['model.gguf --ctx 8192', 'whether it fits with so long a context']],
    load: async () => (await import('./estimate.ts')).estimate,
  },
  devices: {
    summary: "list this machine's GPUs and what they can do",
    examples: [['', 'adapters by the numbers that --adapter takes']],
    load: async () => (await import('./devices.ts')).devices,
  },
  convert: {
    summary: "write a model as firstlight's own file, or back in Hugging Face's layout",
    examples: [['model.gguf model.firstlight', 'loads faster from then on']],
    load: async () => (await import('./convert.ts')).convert,
  },
  doctor: {
    summary: 'check whether this machine is fit, and say what to do',
    examples: [
      ['', 'findings, and what to do about them'],
      ['--json', 'the same for programs'],
    ],
    load: async () => (await import('./doctor.ts')).doctor,
  },
  bench: {
    summary: "measure a model's speed as llama-bench does",
    examples: [
      ['model.gguf -p 512 -n 128', 'prompt and text speed'],
      ['--shape llama2-7b', 'without a file'],
      ['--shape llama3.1-8b --grammar json', 'what it costs that the text must be JSON'],
    ],
    load: async () => (await import('./bench.ts')).bench,
  },
  tune: {
    summary: 'find the fastest kernel variants for a model on this GPU',
    examples: [['model.gguf', 'measures for this GPU and keeps the result']],
    load: async () => (await import('./tune.ts')).tune,
  },
  completion: {
    summary: 'print what makes a shell complete commands and options',
    examples: [
      ['bash > ~/.local/share/bash-completion/completions/firstlight', 'bash'],
      ['zsh > ~/.zfunc/_firstlight', 'zsh, with fpath+=~/.zfunc before compinit'],
      ['fish > ~/.config/fish/completions/firstlight.fish', 'fish'],
    ],
    load: async () => (await import('./completion.ts')).createCompletion(COMMANDS),
  },
};

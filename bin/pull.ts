/** `firstlight pull`: downloads a model, so that commands take its short name. */
import { DEFAULT_ENDPOINT } from '../loaders/hub/names.ts';
import { pull as pullModel } from '../loaders/hub/pull.ts';
import { defineCommand } from './arguments.ts';
import { note, print, printJson } from './output.ts';
import { describeTransfer, startTransfer } from './transfer.ts';

export const pull = defineCommand({
  operands: ['NAME'],
  about: [
    'Downloads a model: NAME is OWNER/NAME on a hub, OWNER/NAME:Q4_K_M for one of its GGUF files, OWNER/NAME@REVISION, or the ' +
      'URL of a GGUF or zip file. Only the files needed are taken: safetensors with configuration and tokenizer, or one GGUF file.',
    'A download that was broken off goes on where it ended. Size and hash of each file are checked. Models are kept in ' +
      'XDG_DATA_HOME/firstlight/models (~/.local/share/firstlight/models); commands take NAME for MODEL.',
    'HF_TOKEN is sent to the hub, and to no other host, for models that are not public.',
  ],
  flags: {
    endpoint: {
      kind: 'text',
      placeholder: 'URL',
      about: `address of the hub (default HF_ENDPOINT, or ${DEFAULT_ENDPOINT})`,
    },
    json: { kind: 'switch', about: 'one JSON object when all is done: name, path, bytes, commit, kept, files' },
    quiet: { kind: 'switch', short: 'q', about: 'no progress on stderr' },
  },
  async run(values, [name = ''], signal) {
    const transfer = startTransfer();
    const say = (line: string) => {
      if (!values.quiet) transfer.say(line);
    };
    const pulled = await pullModel(name, {
      endpoint: values.endpoint,
      signal,
      onFile: (file, index, count) => say(`${file}${count > 1 ? ` (${index + 1} of ${count})` : ''}`),
      onBytes: (done, total) => {
        if (!values.quiet) transfer.update(done, total);
      },
      onRetry: (why) => say(`${why}: trying again`),
    }).finally(transfer.end);
    if (values.json) return printJson(pulled);
    if (!values.quiet) note(describeTransfer(pulled, transfer.receivedBytes(), transfer.elapsedMs()));
    print(`${pulled.name}\n`);
  },
});

/** Conversations: what is read is what the template makes of the messages, whatever was said, taken back or left out before. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../devices/types.ts';
import { type Chat, type ChatSettings, createChat } from '../../engine/chat.ts';
import { encodeChat } from '../../engine/chat-template.ts';
import { loadModel, type Model } from '../../engine/model.ts';
import { createSession } from '../../engine/session.ts';
import { deviceTests } from '../device.ts';
import { expectError } from '../pure/expect-error.ts';
import { temporaryFolder } from '../pure/temporary-folder.ts';
import { SMALL_TEMPLATE, smallChatModel } from '../small-chat.ts';

const test = suite('chat');
const writeFolder = temporaryFolder(test);
const check = await deviceTests(test);

async function withModel(device: Device, work: (model: Model) => Promise<void>): Promise<void> {
  const folder = await writeFolder('chat', new Map([['model.gguf', smallChatModel()]]));
  const model = await loadModel(device, `${folder}/model.gguf`, { context: 256 });
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

const SHORT = { temperature: 0, maxTokens: 8 } as const;

async function withChat(model: Model, settings: ChatSettings, work: (chat: Chat) => Promise<void>): Promise<void> {
  const chat = await createChat(model, { ...SHORT, ...settings });
  try {
    await work(chat);
  } finally {
    await chat.close();
  }
}

const roles = (chat: Chat) => chat.messages.map(({ role }) => role).join(' ');
const encode = (model: Model, messages: Chat['messages']) => encodeChat(model.tokenizer!, SMALL_TEMPLATE, messages);

check('an answer is what a session makes of the rendered messages, and the next prompt reuses it', async (device) => {
  await withModel(device, async (model) => {
    await withChat(model, { system: 'be kind' }, async (chat) => {
      const pieces: string[] = [];
      const first = await chat.generate('hello', { onText: (text) => pieces.push(text) });
      assert.is(pieces.join(''), first);
      assert.equal(chat.messages, [
        { role: 'system', content: 'be kind' },
        { role: 'user', content: 'hello' },
        { role: 'assistant', content: first },
      ]);
      const session = await createSession(model);
      const ids: number[] = [];
      const asked = await encode(model, chat.messages.slice(0, 2));
      for await (const id of session.generate(asked, SHORT)) ids.push(id);
      await session.close();
      assert.is(model.tokenizer!.decode(ids), first);

      await chat.generate('and now?');
      assert.ok(chat.session.stats.reusedTokens >= asked.length - 1, `${chat.session.stats.reusedTokens} reused`);
      assert.is(roles(chat), 'system user assistant user assistant');
      assert.match(chat.stats(), /^prefill: [\d.]+ tok\/s, decode: [\d.]+ tok\/s$/);
    });
  });
});

check('answers are made anew, questions taken back, conversations begun again', async (device) => {
  await withModel(device, async (model) => {
    await withChat(model, {}, async (chat) => {
      await expectError(async () => chat.regenerate().next(), 'bad-argument', /nothing has been asked yet/);
      assert.not.ok(chat.undo());
      assert.is(await chat.countTokens(), 0);
      const first = await chat.generate('one');
      const count = await chat.countTokens();
      const second = await chat.generate('two');
      assert.ok(count > 0 && (await chat.countTokens()) > count);
      let again = '';
      for await (const { text } of chat.regenerate()) again += text;
      assert.is(again, second, 'greedy');
      assert.is(roles(chat), 'user assistant user assistant');
      for await (const _ of chat.regenerate({ temperature: 3, topK: 0, topP: 1, seed: 9 }));
      assert.is.not(chat.messages[3]?.content, second);
      assert.ok(chat.undo());
      assert.is(roles(chat), 'user assistant');
      assert.is(await chat.countTokens(), count);
      assert.is(await chat.generate('two'), second, 'as if it had not been');
      chat.resetChat({ system: 'x', messages: [{ role: 'user', content: 'one' }] });
      assert.is(roles(chat), 'system user');
      chat.resetChat();
      assert.is(chat.messages.length, 0);
      assert.is(await chat.generate('one'), first);
    });
  });
});

check(
  'an answer that is aborted stays as far as it came; without one the conversation stays as it was',
  async (device) => {
    await withModel(device, async (model) => {
      await withChat(model, {}, async (chat) => {
        const whole = await chat.generate('one', { maxTokens: 20 });
        chat.resetChat();
        const stop = new AbortController();
        let seen = '';
        const reading = async () => {
          for await (const { text } of chat.stream('one', { maxTokens: 20, signal: stop.signal })) {
            seen += text;
            if (seen.length >= 5) stop.abort();
          }
        };
        await reading().then(
          () => assert.unreachable('aborted'),
          () => undefined,
        );
        assert.is(chat.messages[1]?.content, seen);
        assert.ok(whole.startsWith(seen));
        chat.resetChat();
        await chat.generate('one', { signal: AbortSignal.abort() }).catch(() => undefined);
        assert.is(chat.messages.length, 0);
        await expectError(() => chat.generate('long '.repeat(200)), 'context-full', /./);
        assert.is(chat.messages.length, 0);
        const stream = chat.stream('one');
        await stream.next();
        await expectError(() => chat.generate('two'), 'bad-argument', /already answering/);
        await stream.return();
        assert.is(await chat.generate('two', { maxTokens: 0 }), '');
      });
    });
  },
);

check('the oldest turns are left out when the context is full, and it is said', async (device) => {
  await withModel(device, async (model) => {
    const gone: number[] = [];
    await withChat(model, { system: 'stay', onDrop: (count) => gone.push(count) }, async (chat) => {
      for (let i = 0; i < 9; i++) await chat.generate(`question ${i} ${'.'.repeat(20)}`);
      assert.ok(gone.length > 0 && chat.dropped > 0 && chat.dropped % 2 === 0, `${chat.dropped} dropped`);
      assert.is(
        gone.reduce((sum, one) => sum + one, 0),
        chat.dropped,
      );
      assert.is(chat.messages.length, 1 + 18, 'the conversation itself is whole');
      // what is read is the system message and the rest
      const read = [chat.messages[0]!, ...chat.messages.slice(1 + chat.dropped)];
      const ids = await encode(model, read.slice(0, -1));
      const { history } = chat.session;
      assert.equal([...history].slice(0, ids.length - 1), ids.slice(0, -1));
      while (chat.undo());
      assert.is(chat.messages.length, 1);
      assert.is(chat.dropped, 0);
      await chat.generate('fresh');
    });
    await withChat(model, { whenFull: 'stop' }, async (chat) => {
      const asked = async () => {
        for (let i = 0; i < 30; i++) await chat.generate(`question ${i} ${'.'.repeat(20)}`);
      };
      await expectError(asked, 'context-full', /./);
    });
  });
});

check('several chats of one model answer at the same time as each does alone', async (device) => {
  await withModel(device, async (model) => {
    const questions = ['red', 'green', 'blue', 'hello world'];
    const alone: string[] = [];
    for (const question of questions)
      await withChat(model, {}, async (chat) => void alone.push(await chat.generate(question, { maxTokens: 24 })));
    const chats = await Promise.all(questions.map(() => createChat(model, SHORT)));
    const together = await Promise.all(chats.map((chat, i) => chat.generate(questions[i]!, { maxTokens: 24 })));
    assert.equal(together, alone);
    for (const chat of chats) await chat.close();
  });
});

check('benchmarkGenerate makes exactly as many tokens, whatever they are', async (device) => {
  await withModel(device, async (model) => {
    await withChat(model, {}, async (chat) => {
      await chat.generate('hello');
      const text = await chat.benchmarkGenerate('a', 30);
      assert.is(chat.session.stats.tokens, 30);
      assert.is(chat.session.stats.promptTokens, model.tokenizer!.encode('a').length);
      assert.ok(text.length > 0);
      assert.is(chat.messages.length, 2);
      await expectError(() => chat.benchmarkGenerate('a', 300), 'context-full', /do not fit the context of 256/);
    });
  });
});

check('a model that cannot chat is refused, before anything is allocated', async (device) => {
  await withModel(device, async (model) => {
    const before = device.memory();
    const plain: Model = { ...model, chatTemplate: undefined };
    await expectError(() => createChat(plain), 'bad-argument', /has no chat template/);
    await expectError(() => createChat({ ...model, tokenizer: undefined }), 'bad-tokenizer', /has no tokenizer/);
    assert.equal(device.memory(), before);
    await withChat(plain, { template: SMALL_TEMPLATE }, async (chat) =>
      assert.type(await chat.generate('x'), 'string'),
    );
    const session = await createSession(model);
    await (await createChat(session)).close();
    assert.type((await session.generate([1], SHORT).next()).value, 'number', 'a session that was given stays open');
    await session[Symbol.asyncDispose]();
    assert.equal(device.memory(), before);
  });
});

test.run();

/** The models that a server is given on its command line. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { modelsOf } from '../../bin/serve/models.ts';
import { builtinPath } from '../../loaders/checkpoint.ts';
import { expectError } from './expect-error.ts';

const test = suite('served models');

test('names are those of the files, or given; none is there twice', async () => {
  const models = await modelsOf([builtinPath(), 'my.model=builtin']);
  assert.equal(
    models.map(({ name }) => name),
    ['storyteller', 'my.model'],
  );
  // the built-in model's name is that of its file
  const twice = () => modelsOf(['builtin', builtinPath()]);
  await expectError(twice, 'bad-argument', /two models are called storyteller/);
});

test('another chat template takes the place of the own ones', async () => {
  for (const template of [undefined, 'mine']) {
    const [model] = await modelsOf(['builtin'], template);
    const checkpoint = await model!.open();
    const vocab = await checkpoint.vocab();
    if (template === undefined) assert.match(String(vocab?.chatTemplate), /messages/);
    else assert.equal([vocab?.chatTemplate, vocab?.toolTemplate], [template, undefined]);
    await checkpoint.close();
  }
});

test.run();

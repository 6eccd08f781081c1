/** OpenAI's API: chat, completions, embeddings, models; tokenize and detokenize beside them. */
import type { Hono } from 'hono';
import type { Tokenizer } from '../../engine/tokenizer.ts';
import { chatCompletion } from './chat-completions.ts';
import { completion } from './completions.ts';
import { embed } from './embeddings.ts';
import type { KnownModel } from './load.ts';
import { listOf, pieceText } from './openai-shapes.ts';
import { tokenizerOf } from './prompts.ts';
import { DetokenizeRequest, EmbeddingRequest, parseBody, TokenizeRequest } from './requests.ts';
import { clientOf, readJson, requestAbort, type Service } from './service.ts';

export function openaiRoutes(app: Hono, service: Service): void {
  app.get('/v1/models', async (c) => {
    const models = await service.host.known();
    return c.json({ object: 'list', data: models.map(describeModel) });
  });
  app.get('/v1/models/:name{.+}', async (c) => {
    return c.json(describeModel(await service.host.find(c.req.param('name'))));
  });
  app.post('/v1/chat/completions', (c) => chatCompletion(c, service));
  app.post('/v1/completions', (c) => completion(c, service));

  app.post('/v1/embeddings', async (c) => {
    const { input, encoding_format: format, dimensions, ...body } = parseBody(EmbeddingRequest, await readJson(c));
    const { name, vectors, tokens } = await embed(service, body.model ?? '', listOf(input), {
      client: clientOf(c, body.user),
      signal: requestAbort(c, service).signal,
      dimensions: dimensions ?? undefined,
    });
    const encode = (vector: Float32Array) =>
      format === 'base64'
        ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
        : [...vector];
    return c.json({
      object: 'list',
      data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) })),
      model: name,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
  });

  app.post('/v1/tokenize', async (c) => {
    const { content, model, add_special: special, with_pieces: pieces } = parseBody(TokenizeRequest, await readJson(c));
    return withTokenizer(service, model, (tokenizer) => {
      const ids = tokenizer.encode(content, { special: false, bos: special ?? false });
      return c.json({ tokens: pieces ? ids.map((id) => ({ id, piece: pieceText(id, tokenizer) })) : ids });
    });
  });
  app.post('/v1/detokenize', async (c) => {
    const { model, tokens } = parseBody(DetokenizeRequest, await readJson(c));
    return withTokenizer(service, model, (tokenizer) =>
      c.json({ content: tokenizer.decode(tokens, { special: true, continued: true }) }),
    );
  });
}

async function withTokenizer(
  { host }: Service,
  name: string | null | undefined,
  work: (tokenizer: Tokenizer) => Response,
): Promise<Response> {
  const lease = await host.lease(name ?? '');
  try {
    return work(tokenizerOf(lease.name, lease.model));
  } finally {
    lease.release();
  }
}

function describeModel({ name, modifiedMs }: KnownModel): object {
  return { id: name, object: 'model', created: Math.floor(modifiedMs / 1000), owned_by: 'firstlight' };
}

/**
 * The corpus that the built-in storyteller learns from: stories and simple talk, made by rules from a seed. Nothing is
 * taken from elsewhere, so the model may be given away freely.
 */
import { createRandom } from './corpus/random.ts';
import { makeStory } from './corpus/stories.ts';
import { makeTalk, requestedStory, type Turn } from './corpus/talk.ts';

/** Either a plain text or a conversation. */
export type Document = { readonly text: string } | { readonly turns: readonly Turn[] };

/** The document of a seed (an integer): half stories, a quarter stories on request, a quarter talk. */
export function makeDocument(seed: number): Document {
  const random = createRandom(seed);
  const way = random.next();
  if (way < 0.5) return { text: makeStory(random).text };
  if (way < 0.72) return { turns: [requestedStory(random).turn] };
  return { turns: makeTalk(random) };
}

/** A plot family: scenarios give the causes and effects that belong together, beats the phrasings of each step. */
export interface Plot {
  /** How a user asks for it: `Tell me a story about {topic}`. */
  readonly topics: readonly string[];
  /** One is chosen for the whole story; its entries are slots. */
  readonly scenarios: readonly Readonly<Record<string, string>>[];
  /** One template of each beat is told, in order. Characters: a = hero, b = friend, c = helper. */
  readonly beats: readonly (readonly string[])[];
  readonly ends: readonly string[];
  readonly morals: readonly string[];
}

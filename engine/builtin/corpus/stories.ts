/** Tells a story: a cast, a plot family, one phrasing per beat, and a state that keeps names and things the same. */

import { phrases } from './phrases.ts';
import type { Plot } from './plot.ts';
import { caringPlots } from './plots-caring.ts';
import { dreamingPlots } from './plots-dreaming.ts';
import { findingPlots } from './plots-finding.ts';
import { growingPlots } from './plots-growing.ts';
import { togetherPlots } from './plots-together.ts';
import { venturingPlots } from './plots-venturing.ts';
import type { Random } from './random.ts';
import { fill, polish } from './template.ts';
import {
  childHomes,
  colors,
  foods,
  type Gender,
  helpers,
  hidingPlaces,
  hobbies,
  type Kind,
  kinds,
  names,
  places,
  things,
  traits,
  weathers,
} from './words.ts';

export const plots: readonly Plot[] = [
  ...findingPlots,
  ...venturingPlots,
  ...growingPlots,
  ...dreamingPlots,
  ...togetherPlots,
  ...caringPlots,
];

/** What the listener asked for; everything left out is chosen freely. */
export interface Wish {
  readonly kind?: Kind;
  readonly name?: string;
  readonly friendKind?: Kind;
  readonly plot?: Plot;
}

export interface Story {
  readonly text: string;
  /** Names of the characters that may appear. */
  readonly cast: readonly string[];
  /** The hero's kind: `fox`. */
  readonly hero: string;
  /** What it is about, as a listener would ask for it. */
  readonly topic: string;
}

interface Character {
  readonly name: string | undefined;
  readonly noun: string;
  readonly sort: Kind['sort'];
  readonly gender: Gender;
  readonly trait: string;
  readonly home: string;
  /** How the text names the character first. */
  readonly introduction: string;
}

const openings: readonly string[] = [
  'Once upon a time, there was {a.who}. {a.he} lived {a.home}.',
  'Once upon a time, there was {a.who} who lived {a.home}.',
  'Once upon a time, {a.who} lived {a.home}.',
  'Once upon a time, there lived {a.who}. {a.he} had a home {a.home}.',
  'Once upon a time, {a.home}, there lived {a.who}.',
  'Once upon a time, in a land [far away|beyond the sea|of hills and lakes], there was {a.who}.',
  'Once there was {a.who}, who lived {a.home}.',
  'There once was {a.who}. {a.his} home was {a.home}.',
  'Long ago, {a.who} lived {a.home}.',
  'Far away, [beyond the hills|behind seven mountains|where the road ends], lived {a.who}.',
  '{a.name} was a~ {a.trait} {a.noun} who lived {a.home}.',
  'In a time when [wishes still came true|the world was young], there was {a.who}. {a.he} lived {a.home}.',
  '{a.home}, there lived {a.who}.',
  'This is the story of {a.name}, a~ {a.trait} {a.noun} who {hobby}.',
  'Not so long ago, there was {a.who} who {hobby}.',
  'Do you know {a.name}? {a.name} was a~ {a.trait} {a.noun} who lived {a.home}.',
];
const ONCE_UPON_A_TIME = 6; // the first openings, told nearly half of the time

const pronouns: Readonly<Record<Gender, Readonly<Record<string, string>>>> = {
  he: { he: 'he', him: 'him', his: 'his', self: 'himself' },
  she: { he: 'she', him: 'her', his: 'her', self: 'herself' },
};

/** Some names are made up, so that a model learns to copy a name it has never seen. */
function inventName(random: Random): string {
  const syllables = ['zo', 'ra', 'bi', 'lo', 'ki', 'mu', 'ta', 'ne', 'vi', 'sha', 'du', 'fe', 'go', 'ly', 'pa', 'ri'];
  const text = Array.from({ length: 2 + random.below(2) }, () => random.pick(syllables)).join('');
  return text[0]!.toUpperCase() + text.slice(1);
}

function makeCharacter(random: Random, kind: Kind, taken: ReadonlySet<string>, name?: string): Character {
  const gender = kind.gender ?? (random.chance(0.5) ? 'he' : 'she');
  let chosen = name;
  while (chosen === undefined || (name === undefined && taken.has(chosen))) {
    chosen = random.chance(0.06) ? inventName(random) : random.pick(names[gender]);
  }
  const trait = random.pick(traits);
  const home = kind.sort === 'child' ? random.pick(childHomes) : kind.home;
  const who = `a~ ${trait} ${kind.noun}`;
  const introduction = random.pick([
    `{a.his} friend ${chosen} the ${kind.noun}`,
    `{a.his} friend ${chosen}`,
    `${who} [named|called] ${chosen}`,
    `${chosen} the ${kind.noun}`,
  ]);
  const plain = kind.sort === 'child' ? `{a.his} [friend|friend|cousin|neighbor] ${chosen}` : introduction;
  return { name: chosen, noun: kind.noun, sort: kind.sort, gender, trait, home, introduction: plain };
}

function makeHelper(random: Random, taken: ReadonlySet<string>, nouns: ReadonlySet<string>): Character {
  const helper = random.pick(helpers.filter(({ noun }) => !nouns.has(noun)));
  const gender = helper.gender ?? (random.chance(0.5) ? 'he' : 'she');
  const family = helper.noun.startsWith('grand');
  const name = family || random.chance(0.4) ? undefined : random.pick(names[gender].filter((one) => !taken.has(one)));
  const { noun, trait } = helper;
  const introduction = family ? `{a.his} ${noun}` : name ? `a~ ${trait} ${noun} named ${name}` : `a~ ${trait} ${noun}`;
  return { name, noun, sort: family ? 'child' : 'worker', gender, trait, home: '', introduction };
}

/** A story of 100 to 250 tokens. */
export function makeStory(random: Random, wish: Wish = {}): Story {
  const plot = wish.plot ?? random.pick(plots);
  const scenario = random.pick(plot.scenarios);
  const taken = new Set<string>();
  const cast = new Map<string, Character>();
  const kind = wish.kind ?? pickKind(random);
  const hero = makeCharacter(random, kind, taken, wish.name);
  taken.add(hero.name!);
  let friendKind = wish.friendKind ?? pickKind(random);
  while (!wish.friendKind && friendKind.noun === kind.noun && kind.sort !== 'child') friendKind = pickKind(random);
  const friend = makeCharacter(random, friendKind, taken);
  taken.add(friend.name!);
  const helper = makeHelper(random, taken, new Set([kind.noun, friendKind.noun]));
  cast.set('a', hero).set('b', friend).set('c', helper);

  const introduced = new Set<Character>();
  const chosen = new Map<string, string>();
  const place = random.pick(places);
  chosen.set('at', place.at).set('to', place.to);
  const lists: Readonly<Record<string, readonly string[]>> = {
    thing: things,
    color: colors,
    food: foods,
    hide: hidingPlaces,
    hobby: hobbies,
  };

  const refer = (one: Character): string => {
    if (!introduced.has(one)) {
      introduced.add(one);
      return one === hero ? one.name! : one.introduction;
    }
    if (one.name === undefined) return one.noun.startsWith('grand') ? `{a.his} ${one.noun}` : `the ${one.noun}`;
    const common = one.sort !== 'child' && random.chance(one === friend ? 0.08 : 0.15);
    return common ? `the ${one.noun}` : one.name;
  };
  const look = (slot: string): string => {
    const [key, property] = slot.split('.') as [string, string?];
    const one = cast.get(key.toLowerCase());
    if (one) {
      if (property === undefined || property.toLowerCase() === 'new') {
        const text = refer(one);
        return key === 'A' ? text[0]!.toUpperCase() + text.slice(1) : text;
      }
      if (property === 'who' || property === 'stranger') {
        introduced.add(one);
        return `a~ ${one.trait} ${one.noun} [named|named|called] ${one.name}`;
      }
      if (property === 'call') return one.name ?? (one.noun.startsWith('grand') ? one.noun : `dear ${one.noun}`);
      if (property === 'name' || property === 'noun' || property === 'trait' || property === 'home') {
        if (property === 'name') introduced.add(one);
        return one[property] ?? one.noun;
      }
      return pronouns[one.gender][property]!;
    }
    if (slot === 'day.small') return 'one [day|morning|afternoon|evening]';
    if (slot === 'weather') return random.pick(weathers);
    const list = lists[key];
    if (list && !chosen.has(key)) chosen.set(key, random.pick(list));
    return chosen.get(key) ?? scenario[key] ?? random.pick(phrases[key]!);
  };

  const opening = random.chance(0.35) ? openings[random.below(ONCE_UPON_A_TIME)]! : random.pick(openings);
  const habit = !opening.includes('{hobby}') && random.chance(0.4) ? ['{a.he} {hobby}.', '{a} {hobby}.'] : [''];
  const beats = plot.beats.map((beat) => random.pick(beat));
  const moral = random.chance(0.4) ? random.pick(plot.morals) : '';
  const template = [
    `${opening} ${random.pick(habit)} ${beats[0]}`,
    beats.slice(1, 3).join(' '),
    beats.slice(3, 5).join(' '),
    `${beats.slice(5).join(' ')} ${random.pick(plot.ends)} ${moral}`,
  ].join('\n\n');
  const text = polish(fill(template, look, random));
  const topic = polish(`about ${fill(random.pick(plot.topics), look, random)}`).slice('about '.length);
  const used = [hero, friend, helper].flatMap(({ name }) => (name === undefined ? [] : [name]));
  return { text, cast: used, hero: hero.noun, topic };
}

/** Children and animals are the heroes most often. */
export function pickKind(random: Random): Kind {
  return random.chance(0.3) ? kinds[random.below(2)]! : random.pick(kinds.slice(2));
}

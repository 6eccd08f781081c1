/** Short conversations: questions with their answers, and stories on request. */
import { aboutMe, days, facts, months, numerals, opposites, smallTalk, tooHard, tooHardAnswers } from './facts.ts';
import type { Random } from './random.ts';
import { makeStory, pickKind, plots, type Story } from './stories.ts';
import { fill, polish } from './template.ts';
import { names } from './words.ts';

export interface Turn {
  readonly user: string;
  readonly assistant: string;
}

/** Two sums in three are within 20; a difference never falls below zero. */
function arithmetic(random: Random): Turn {
  const plus = random.chance(0.5);
  const total = random.below(21);
  const part = random.below(total + 1);
  const [x, y, result] = plus ? [part, total - part, total] : [total, part, total - part];
  const sign = plus ? '+' : '-';
  const word = plus ? 'plus' : 'minus';
  const spelled = random.chance(0.25);
  const show = (value: number): string => (spelled ? numerals[value]! : String(value));
  const ask = random.pick([
    `What is ${show(x)} ${word} ${show(y)}?`,
    `What is ${show(x)} ${word} ${show(y)}?`,
    `How much is ${show(x)} ${word} ${show(y)}?`,
    spelled ? `${show(x)} ${word} ${show(y)}` : `What is ${x} ${sign} ${y}?`,
    spelled ? `Can you tell me what ${show(x)} ${word} ${show(y)} is?` : `${x} ${sign} ${y}`,
  ]);
  return { user: polish(ask), assistant: polish(`${show(x)} ${word} ${show(y)} is ${show(result)}.`) };
}

function opposite(random: Random): Turn {
  const [left, right] = random.pick(opposites).split(' ') as [string, string];
  // A word with two opposites is asked for in one direction only.
  const ambiguous = ['short', 'old', 'light'].includes(left) || ['short'].includes(right);
  const [asked, answer] = ambiguous
    ? left === 'tall'
      ? [left, right]
      : ['long', 'short']
    : random.chance(0.5)
      ? [left, right]
      : [right, left];
  const user = random.pick([
    `What is the opposite of ${asked}?`,
    `What is the opposite of ${asked}?`,
    `Opposite of ${asked}?`,
    `Tell me the opposite of ${asked}`,
  ]);
  return { user, assistant: `The opposite of ${asked} is ${answer}.` };
}

function calendar(random: Random): Turn {
  const list = random.chance(0.5) ? days : months;
  const at = random.below(list.length);
  const one = list[at]!;
  const next = list[(at + 1) % list.length]!;
  return random.chance(0.6)
    ? {
        user: random.pick([`What comes after ${one}?`, `Which ${list === days ? 'day' : 'month'} comes after ${one}?`]),
        assistant: `After ${one} comes ${next}.`,
      }
    : {
        user: random.pick([
          `What comes before ${next}?`,
          `Which ${list === days ? 'day' : 'month'} comes before ${next}?`,
        ]),
        assistant: `Before ${next} comes ${one}.`,
      };
}

function counting(random: Random): Turn {
  const at = random.below(20);
  return random.chance(0.5)
    ? { user: `What number comes after ${at}?`, assistant: `After ${at} comes ${at + 1}.` }
    : { user: `What number comes before ${at + 1}?`, assistant: `Before ${at + 1} comes ${at}.` };
}

function introduction(random: Random): Turn {
  const name = random.pick(names[random.chance(0.5) ? 'he' : 'she']);
  return {
    user: random.pick([
      `My name is ${name}`,
      `I am ${name}`,
      `Hello, I am ${name}`,
      `Hi, my name is ${name}.`,
      `Call me ${name}`,
    ]),
    assistant: random.pick([
      `Hello, ${name}! It is nice to meet you.`,
      `Nice to meet you, ${name}! Would you like to hear a story?`,
      `Hello, ${name}! What can I do for you?`,
    ]),
  };
}

function fromTable(random: Random, table: readonly string[]): Turn {
  const [questions, answers] = random.pick(table).split(' = ') as [string, string];
  return { user: random.pick(questions.split(';')), assistant: random.pick(answers.split(';')) };
}

function hard(random: Random): Turn {
  return { user: random.pick(random.pick(tooHard).split(';')), assistant: random.pick(tooHardAnswers) };
}

const requests: readonly string[] = [
  'Tell me a story about {x}',
  'Tell me a story about {x}',
  'Tell me a story about {x}',
  'Please tell me a story about {x}',
  'Can you tell me a story about {x}?',
  'I want to hear a story about {x}',
  'Write a story about {x}',
  'Write a short story about {x}',
  'Tell me [something|a tale] about {x}',
  'A story about {x}, please',
  'Do you know a story about {x}?',
  'Make up a story about {x}',
];
const openRequests: readonly string[] = [
  'Tell me a story',
  'Tell me a story',
  'Please tell me a story',
  'Can you tell me a story?',
  'I want to hear a story',
  'Write a story',
  'Tell me a bedtime story',
  'Tell me another story',
  'Another one, please',
  'Once more',
  'Tell me something nice',
];

/** A request and a story that follows it. */
export function requestedStory(random: Random): { turn: Turn; story: Story } {
  const kind = pickKind(random);
  const noun = `a~ ${random.chance(0.2) ? random.pick(['little ', 'brave ', 'small ', 'kind ']) : ''}${kind.noun}`;
  const way = random.next();
  let subject: string | undefined;
  let story: Story;
  if (way < 0.34) {
    story = makeStory(random, { kind });
    subject = noun;
  } else if (way < 0.46) {
    const gender = kind.gender ?? (random.chance(0.5) ? 'he' : 'she');
    const name = random.pick(names[gender]);
    story = makeStory(random, { kind: { ...kind, gender }, name });
    subject = `${noun} [named|called] ${name}`;
  } else if (way < 0.56) {
    let friendKind = pickKind(random);
    while (friendKind.noun === kind.noun) friendKind = pickKind(random);
    // Plots without a friend would leave the second wish unheard.
    const plot = random.pick(
      plots.filter(({ beats }) => beats.some((beat) => beat.every((one) => /\{b[.}]|\{invite\}/.test(one)))),
    );
    story = makeStory(random, { kind, friendKind, plot });
    subject = `${noun} and a~ ${friendKind.noun}`;
  } else if (way < 0.84) {
    story = makeStory(random);
    subject = story.topic;
  } else if (way < 0.9) {
    story = makeStory(random, { kind });
    subject = `${noun} and ${story.topic}`;
  } else if (way < 0.94) {
    story = makeStory(random);
    subject = story.cast[0];
  } else {
    story = makeStory(random);
  }
  const ask = subject ? random.pick(requests).replace('{x}', subject) : random.pick(openRequests);
  const user = polish(fill(ask, (slot) => slot, random));
  const preface = random.chance(0.15) ? random.pick(['Of course! ', 'Gladly! ', 'Here is a story for you. ']) : '';
  return { turn: { user: careless(random, user), assistant: preface + story.text }, story };
}

/** A question about the story that was just told. */
function aboutStory(random: Random, story: Story): Turn {
  const name = story.cast[0]!;
  const [user, assistant] = random.pick([
    [`What was the ${story.hero} called?`, `The ${story.hero} was called ${name}.`],
    [`What was the name of the ${story.hero}?`, `The name of the ${story.hero} was ${name}.`],
    ['Who was the story about?', `It was about a~ ${story.hero} called ${name}.`],
    [`Who was ${name}?`, `${name} was the ${story.hero} in the story.`],
  ] as const);
  return { user: careless(random, user), assistant: polish(assistant) };
}

/** People do not always type capitals and full stops. */
function careless(random: Random, text: string): string {
  let result = text;
  if (random.chance(0.15)) result = result.replace(/[?.]$/, '');
  else if (!/[?.!]$/.test(result) && random.chance(0.5)) result += '.';
  if (random.chance(0.15)) result = result.toLowerCase();
  return result;
}

function question(random: Random): Turn {
  const way = random.next();
  const make = () => {
    if (way < 0.2) return arithmetic(random);
    if (way < 0.5) return fromTable(random, facts);
    if (way < 0.65) return fromTable(random, aboutMe);
    if (way < 0.8) return fromTable(random, smallTalk);
    if (way < 0.87) return opposite(random);
    if (way < 0.91) return calendar(random);
    if (way < 0.94) return counting(random);
    if (way < 0.97) return introduction(random);
    return hard(random);
  };
  const turn = make();
  return { user: careless(random, turn.user), assistant: turn.assistant };
}

/** One to six turns of questions; or a longer talk with several stories in it, so that the whole context gets used. */
export function makeTalk(random: Random): readonly Turn[] {
  if (random.chance(0.88)) return Array.from({ length: 1 + random.below(6) }, () => question(random));
  return Array.from({ length: 2 + random.below(3) }, () => {
    if (random.chance(0.4)) return [question(random)];
    const { turn, story } = requestedStory(random);
    return random.chance(0.5) ? [turn, aboutStory(random, story)] : [turn];
  }).flat();
}

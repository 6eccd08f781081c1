/** Plots about places: a secret one, the dark forest, the sea in a storm. */
import type { Plot } from './plot.ts';

export const venturingPlots: readonly Plot[] = [
  {
    topics: ['a secret', 'a secret place', 'a promise'],
    scenarios: [
      {
        secret: 'a nest with [three|four|five] tiny eggs',
        need: 'peace and quiet',
        danger: 'loud voices would scare the mother away',
        joy: 'the eggs broke open and tiny birds looked out',
      },
      {
        secret: 'a hidden garden full of blue flowers',
        need: 'time to grow',
        danger: 'many feet would crush the flowers',
        joy: 'the whole garden was in bloom, and it smelled like honey',
      },
      {
        secret: 'a baby deer asleep in the ferns',
        need: 'its mother',
        danger: 'a crowd would frighten it',
        joy: 'the mother came back and licked its little ears',
      },
      {
        secret: 'a cave full of shining stones',
        need: 'the dark to shine',
        danger: 'people would carry the stones away',
        joy: 'all the stones glowed at once like a sky full of stars',
      },
    ],
    beats: [
      [
        '{day}, {a} went {to} and found {secret}.',
        '{day}, {a} was playing {at}. There {a.he} found something wonderful: {secret}.',
        '{day}, {a} followed a narrow path and discovered {secret}.',
      ],
      [
        '{a.he} knew that it needed {need}, and that {danger}.',
        '"It needs {need}," {a} thought. "If I tell everyone, {danger}."',
        '{c.New} saw it too. "Keep it a secret," {c.he} said. "It needs {need}, and {danger}."',
      ],
      [
        'So {a} promised to tell nobody. But keeping a secret was [hard|not easy]. It tickled on {a.his} tongue.',
        '"I promise to keep the secret," said {a}. All day long, {a.he} wanted to talk about it.',
        '{a} went home and said nothing. The secret felt warm, like a little fire inside {a.him}.',
      ],
      [
        '{b.New} asked, "Why do you smile like that?" {A} shook {a.his} head. "I made a promise," {a.he} said. "You will see."',
        'The next day, {b.new} asked, "Where do you go every day?" {A} only said, "I will show you when it is time."',
        '"Tell me, tell me!" begged {b.new}. {a} almost did, but then {a.he} remembered the promise. "Soon," {a.he} said.',
      ],
      [
        'A week later, the time had come. {a} took {b} by surprise and led {b.him} there. And right then, {joy}.',
        'Many days went by. At last {a} said, "Come with me, and be very quiet." They got there just in time: {joy}.',
        'Then came the great day. {a} and {b} sat down without a sound and waited. And {joy}.',
      ],
      [
        '"Oh!" whispered {b}. "Now I know why you waited." {glad}',
        '{b} did not say a word, but {b.his} eyes were shining. {glad}',
        '"Thank you for keeping it safe," said {b}. {glad}',
      ],
    ],
    ends: ['From then on, they kept the secret together.', '{friends}', '{end}'],
    morals: ['A promise is a promise.', 'Some things need time and quiet.', 'Good things are worth waiting for.'],
  },
  {
    topics: ['getting lost', 'being lost', 'finding the way home', 'a long night'],
    scenarios: [
      {
        why: '{a.he} had followed a [blue|golden|white] butterfly',
        guide: 'the north star',
        tip: 'The north star never moves. Keep it in front of you, and you will come home.',
      },
      {
        why: 'thick fog had come down',
        guide: 'the sound of the bell',
        tip: 'Close your eyes and listen. The bell of the village rings every hour.',
      },
      {
        why: '{a.he} had picked berries and had not looked up',
        guide: 'the little stream',
        tip: 'Follow the stream. All water runs down to the village.',
      },
      {
        why: 'the snow had covered the path',
        guide: 'the smoke of a chimney',
        tip: 'Look up. Where there is smoke, there is a warm house.',
      },
      {
        why: '{a.he} had run too far in a game of hide and seek',
        guide: 'the moss on the trees',
        tip: 'Moss grows on the north side of the trees. Your home is in the south.',
      },
    ],
    beats: [
      [
        '{day}, {a} went for a walk {at}.',
        '{day}, {a} went {to}, all alone. {weather}.',
        '{weather}, and {a} wanted to play {at}.',
      ],
      [
        'But then {a.he} did not know the way back, because {why}.',
        '{a.he} walked and walked. Suddenly everything looked strange, for {why}.',
        'After a while {a.he} stopped. "Where am I?" {a.he} asked. {a.he} was lost, because {why}.',
      ],
      [
        'It grew dark, and {a} was afraid. {sad}',
        'The shadows became long. {sad}',
        'The night came, and the trees [whispered|creaked] in the wind. {sad}',
      ],
      [
        '{meet} "I cannot find my way home," said {a}.',
        '{meet} {ask}',
        'Then {a.he} heard a voice. It was {c.new}. {ask}',
      ],
      [
        '"That is easy," said {c}. "{tip}"',
        '{think} "{tip}" {c.he} added, "You can do it."',
        '{c} pointed with a smile. "{tip}"',
      ],
      [
        '{a} did as {c} had said. {a.he} followed {guide}, step by step, and was not afraid any more. Soon {a.he} saw the lights of home.',
        'So {a} followed {guide}. It was a long walk, but at the end of it there was a light in a window. It was {a.his} home!',
        '{thanks} Then {a.he} followed {guide}, and before the moon was high, {a.he} was home.',
      ],
    ],
    ends: [
      '{a} ate {food} and fell asleep in {a.his} own warm bed.',
      'And {a} told everyone about {c}, who had shown {a.him} the way.',
      '{end}',
    ],
    morals: [
      'If you stay calm, you will find a way.',
      'It is good to ask when you do not know the way.',
      'There is always something that can guide us.',
    ],
  },
  {
    topics: ['a storm at sea', 'the sea', 'a~ {boat}', '{save}'],
    scenarios: [
      {
        boat: 'small boat',
        save: 'the light of the lighthouse',
        how: '{a} steered straight toward the light',
        cargo: 'letters',
      },
      {
        boat: 'old ship',
        save: 'a big gray whale',
        how: 'the whale pushed them gently to the shore',
        cargo: 'oranges',
      },
      {
        boat: 'little sailing boat',
        save: 'a calm bay between the rocks',
        how: '{a} turned the boat just in time',
        cargo: 'blankets',
      },
      {
        boat: 'fishing boat',
        save: 'a group of dolphins',
        how: 'the dolphins swam ahead and showed the way between the rocks',
        cargo: 'fish',
      },
    ],
    beats: [
      [
        '{a} had a~ {boat} with a~ {color} sail.',
        '{a} loved the sea. {a.he} often went out in a~ {boat}.',
        'More than anything, {a} loved {a.his} {boat}.',
      ],
      [
        '{day}, {a} and {b.new} set out to bring {cargo} to an island.',
        '{day}, {a.he} sailed out with {b.new}. They had {cargo} on board for the people of an island.',
        '{day}, someone on the island needed {cargo}. "We will bring them," said {a} to {b.new}.',
      ],
      [
        'Around noon, dark clouds came up. The wind howled, and the waves grew as high as houses.',
        'Suddenly the sky turned black. Thunder rolled, and the rain fell hard.',
        'But far from land, a great storm began. Waves crashed over the deck.',
      ],
      [
        '"Hold on tight!" cried {a}. {b} was afraid, but {b.he} held the rope with all {b.his} strength.',
        '"We will sink!" shouted {b}. "No," said {a}, "we will do this together." They pulled down the sail.',
        '{b} threw water out with a bucket, while {a} held the wheel. They were both wet and cold.',
      ],
      [
        'Then they saw {save}. "There!" called {b}. And {how}.',
        'Just when they had almost lost hope, they saw {save}. So {how}.',
        '"Look!" said {a}. It was {save}. And {how}.',
      ],
      [
        'The storm passed, and the sea became smooth. They had made it! The people of the island came running and thanked them for the {cargo}.',
        'When the sun came out again, they landed on the island. Everyone was glad about the {cargo}.',
        'An hour later they stood on dry land, with all the {cargo} safe. {glad}',
      ],
    ],
    ends: ['{party}', '{friends}', 'And the next morning, the sea was as blue as if nothing had happened.', '{end}'],
    morals: [
      'Those who hold together can weather any storm.',
      'Being brave means going on although you are afraid.',
      'After every storm the sun comes out.',
    ],
  },
];

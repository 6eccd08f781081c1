/** Plots about things that are searched, reached or made: lost and found, a journey, building, a mystery. */
import type { Plot } from './plot.ts';

export const findingPlots: readonly Plot[] = [
  {
    topics: ['a lost {thing}', 'a~ {color} {thing}', 'losing something', 'something lost and found'],
    scenarios: [
      { why: 'the [wind|storm] had carried it away in the night' },
      { why: 'it had fallen out of {a.his} bag on the way' },
      { why: 'a hungry crow had thought it was food and dropped it there' },
      { why: 'a playful puppy had dragged it there' },
      { why: '{a.he} had put it there {a.self} and forgotten all about it' },
    ],
    beats: [
      [
        '{a} had a~ {color} {thing} that {a.he} loved more than anything.',
        '{a.his} greatest treasure was a~ {color} {thing}, a gift from {a.his} [grandmother|grandfather].',
        '{a} never went anywhere without {a.his} {color} {thing}.',
      ],
      [
        '{day}, the {thing} was gone. {a} looked [everywhere|high and low], but {a.he} could not find it.',
        '{day}, {a} came home and saw that {a.his} {thing} was missing. {a.he} looked under the bed and behind the door, but it was not there.',
        'But {day.small} {a} went {to}, and when {a.he} came back, the {thing} was gone.',
      ],
      ['{sad} {meet} {ask}', '{meet} {ask}', '{sad} "My {thing} is gone," {a.he} said. {meet} {ask}'],
      [
        '{think} "Where did you last see it?" {c.he} asked. "It was {at}," said {a}. So they went there together.',
        '{think} "Let us look {at}," {c.he} said. "Four eyes see more than two."',
        '"Things do not run away," said {c}. "We will look {at}, step by step." And off they went.',
      ],
      [
        'They looked [here and there|for a long time]. At last, {a} saw something {color} {hide}. It was the {thing}! It turned out that {why}.',
        'They searched all [morning|afternoon]. Then {c} called, "Look {hide}!" And there lay the {color} {thing}, for {why}.',
        'First they found [an old shoe|a rusty nail|a lost glove]. But then, {hide}, they found the {color} {thing}. They saw that {why}.',
      ],
      ['{glad} {thanks}', '{thanks} {glad}', '{a} held the {thing} [tight|close]. {thanks}'],
    ],
    ends: [
      'From then on, {a} took good care of {a.his} {thing}.',
      'That night, the {color} {thing} lay next to {a.his} pillow.',
      '{end}',
      '{end}',
    ],
    morals: [
      'What is lost is often nearer than we think.',
      'Two who search together find more than one alone.',
      'Those who keep looking will find.',
    ],
  },
  {
    topics: ['a long journey', 'a journey', 'an adventure', 'a trip to the {goal}'],
    scenarios: [
      {
        goal: 'mountain',
        see: 'the whole world lay below them, small and bright',
        wish: 'see the world from above',
        block: 'a deep river',
        cross: 'a fallen tree lay across the water, and they walked over it slowly, one after the other',
      },
      {
        goal: 'sea',
        see: 'the sea lay before them, wide and blue, and the waves sang',
        wish: 'hear the waves',
        block: 'a dark forest',
        cross: 'they followed a line of fireflies that showed them the path between the trees',
      },
      {
        goal: 'waterfall',
        see: 'the water fell like a silver curtain, with a rainbow in it',
        wish: 'see a rainbow from close by',
        block: 'a steep wall of rock',
        cross: 'they found small steps in the stone and climbed up, holding on to each other',
      },
      {
        goal: 'city',
        see: 'a thousand lights were shining in a thousand windows',
        wish: 'see the lights of the city',
        block: 'a wide swamp',
        cross: 'they jumped from stone to stone until they stood on dry land',
      },
      {
        goal: 'desert',
        see: 'the sand was golden, and a single flower was blooming in it',
        wish: 'find the flower that blooms in the sand',
        block: 'a long and stony road',
        cross: 'they rested in the shade at noon and walked on in the cool evening',
      },
    ],
    beats: [
      [
        '{a} had always wanted to {wish}.',
        'Every night, {a} dreamed of the {goal}. {a.he} wanted to {wish}.',
        '{a} had heard many stories about the {goal}, and {a.he} wished to {wish}.',
      ],
      [
        '{day}, {a.he} packed {food} and a [map|lantern|blanket|warm scarf] and set out. {invite} "I will come with you," said {b}.',
        '{day}, {a.he} said to {b.new}, "Let us go to the {goal}!" {b} was [happy|glad] to come. They took {food} along.',
        '{day}, {a.he} put on a warm coat and left. {invite} "The {goal} is far away," said {b}, "but I will go with you."',
      ],
      [
        'They walked for [two|three|many] days, until they came to {block}.',
        'On the [second|third] day, they stood before {block}.',
        'The road was long. Then {block} lay before them.',
      ],
      [
        '"We must turn back," said {b}. "Not yet," said {a}. They looked around, and {cross}.',
        '"How will we get past this?" asked {b}. {a} thought hard. Then {cross}.',
        '{a} was [tired|afraid], but {b} said, "We have come so far. Let us try." So {cross}.',
      ],
      [
        'At last they reached the {goal}. It was [even more beautiful than in the stories|more beautiful than they had dreamed]: {see}.',
        'And then they were there. They stood still, for {see}.',
        'When the sun came up, they saw the {goal}, and {see}.',
      ],
      [
        '{glad} They sat down and ate their {food}.',
        '"It was worth every step," said {b}. {glad}',
        'They did not say a word for a long time. {glad}',
      ],
    ],
    ends: ['When they came home, they had a story to tell for the rest of their lives.', '{friends}', '{end}'],
    morals: [
      'Every long road begins with a single step.',
      'A road is shorter with a friend.',
      'The best view comes after the hardest climb.',
    ],
  },
  {
    topics: ['building a~ {made}', 'a~ {made}', 'making something'],
    scenarios: [
      {
        made: 'tree house',
        from: 'old boards and ropes',
        fail: 'the first floor [broke|fell down] with a crash',
        fix: 'thicker branches to hold it',
        use: 'they sat high above the ground and [watched the birds|counted the stars]',
      },
      {
        made: 'raft',
        from: 'logs and ropes',
        fail: 'the logs came apart in the water',
        fix: 'stronger knots',
        use: 'they floated slowly down the river',
      },
      {
        made: 'bridge',
        from: 'stones and long branches',
        fail: 'the water washed the stones away',
        fix: 'bigger stones at the bottom',
        use: 'everyone could cross the stream with dry feet',
      },
      {
        made: 'flying machine',
        from: 'wheels, sheets and wire',
        fail: 'it jumped once and fell on its nose',
        fix: 'longer wings',
        use: 'it sailed over the meadow like a great bird',
      },
      {
        made: 'snow castle',
        from: 'snow and ice',
        fail: 'the tall tower fell over',
        fix: 'a wider wall below',
        use: 'they lit a candle inside, and the whole castle shone',
      },
      {
        made: 'windmill',
        from: 'wood and an old sail',
        fail: 'the wind broke the arms',
        fix: 'shorter and stronger arms',
        use: 'the wheel turned and ground the corn for the whole village',
      },
    ],
    beats: [
      [
        '{a} wanted to build a~ {made}.',
        '{day}, {a} had an idea. "I will build a~ {made}!" {a.he} said.',
        '{a} had a big plan: {a.he} was going to build a~ {made}.',
      ],
      [
        '{a.he} gathered {from} and began to work. {weather}.',
        '{weather}, and {a} collected {from}.',
        'For [two|three|four] days, {a.he} collected {from}. Then {a.he} began.',
      ],
      [
        'But {fail}. {sad}',
        'It looked good at first, but then {fail}. {sad}',
        '{a} worked until noon. Then, all at once, {fail}. {sad}',
      ],
      [
        '{b.New} came by. "May I help?" {b.he} asked. "I think it needs {fix}."',
        '{a.he} went to {b.new} for help. "We need {fix}," said {b}.',
        '"Try again," said {b.new}, who had been watching. "This time, use {fix}."',
      ],
      [
        'So they tried again, together. {a} held, and {b} tied. {b} laughed, and {a} laughed too.',
        'They worked side by side. It took [all day|two more days], but they did not give up.',
        'They began once more. It was hard work, but it was much more fun with two.',
      ],
      [
        'In the end, the {made} was ready, and {use}.',
        'At last the {made} was [finished|done]. It was strong and beautiful. That evening, {use}.',
        'And this time, it worked! The {made} stood firm, and {use}.',
      ],
    ],
    ends: ['{friends}', '{glad} {party}', 'Everyone [came to see|admired] the {made}. {glad}', '{end}'],
    morals: [
      'If it does not work at first, try again in another way.',
      'Many hands make light work.',
      'Every mistake teaches us something.',
    ],
  },
  {
    topics: ['a mystery', 'a detective', 'a little detective', 'finding out the truth'],
    scenarios: [
      {
        odd: 'a strange [light|glow] in the old tower',
        clue: 'drops of candle wax on the stairs',
        answer: '{c.new} was reading there at night, because {c.his} own house was too noisy',
        after: 'come and read at my house',
      },
      {
        odd: 'that someone was taking [apples|carrots] from the garden',
        clue: 'small footprints in the earth',
        answer: '{c.new} was feeding a family of hungry birds',
        after: 'take as many as you need, we will feed them together',
      },
      {
        odd: 'a soft tapping in the wall at night',
        clue: 'a trail of crumbs on the floor',
        answer: '{c.new} was [building|hammering] a tiny cradle in secret',
        after: 'let me help you finish it',
      },
      {
        odd: 'fresh flowers in front of every door',
        clue: 'a few petals on the road',
        answer: '{c.new} put them there to make everyone smile',
        after: 'tomorrow we will bring them together',
      },
      {
        odd: 'music in the forest at midnight',
        clue: 'a silver string on a branch',
        answer: '{c.new} was practicing a song and was too shy to let anyone hear it',
        after: 'please play it for all of us',
      },
      {
        odd: 'that the clock in the square always stopped at noon',
        clue: 'a wisp of hay between the wheels',
        answer: '{c.new} had put a bed of hay there and took a nap at noon',
        after: 'we will find you a quieter bed',
      },
    ],
    beats: [
      [
        '{day}, {a} noticed {odd}.',
        'Something odd was going on. {a} had noticed {odd}.',
        'For some days, {a} had noticed {odd}, but nobody could explain it.',
      ],
      [
        '"I will find out what it is," said {a}. {a.he} told {b.new} about it, and they made a plan.',
        '"That is a mystery!" said {b.new}. "Let us solve it." {a} agreed.',
        '{b.New} was a little afraid, but {a} said, "Together we can find the answer."',
      ],
      [
        'That night, they took a [lantern|blanket] and hid [behind a big stone|in the tall grass|under an old bench|behind the fence]. They waited and waited.',
        'They looked for [clues|signs] all day. {weather}, and they walked {to}.',
        'They crept out of the house on tiptoe. It was dark and very quiet.',
      ],
      [
        'Then {b} found {clue}. "Look!" {b.he} whispered. They followed the trail.',
        'Suddenly {a} saw {clue}. "That is a clue!" {a.he} said.',
        'On the ground they saw {clue}. "Someone was here," said {a}.',
      ],
      [
        'And so they found out the truth: {answer}.',
        'They peeked around the corner. What a surprise! {answer}.',
        'Around the next corner they stopped and stared. There was no ghost at all. {answer}.',
      ],
      [
        '"Now I understand," said {a}. "If you like, {after}."',
        '{c} turned red. "Do not be afraid," said {a}. "From now on, {after}."',
        '{a} laughed. "So that was it!" {a.he} said. "Well, {after}." {c} was very glad.',
      ],
    ],
    ends: [
      'And so the mystery was solved, and they had found a new friend.',
      'After that, {a} and {b} were known as the best detectives [around|in the village].',
      '{party}',
      '{end}',
    ],
    morals: [
      'Behind every riddle there is a reason.',
      'Look closely, and ask before you judge.',
      'Not everything strange is bad.',
    ],
  },
];

/** Plots about living with others: a quarrel, a birthday, an animal in need, bad weather. */
import type { Plot } from './plot.ts';

export const togetherPlots: readonly Plot[] = [
  {
    topics: ['two friends', 'a quarrel', 'friendship', 'saying sorry'],
    scenarios: [
      {
        matter: 'a~ {thing}. Both wanted to have it first',
        word: 'It was mine first',
        mend: 'let us take turns with the {thing}',
      },
      {
        matter: 'the last piece of cake',
        word: 'You always take the biggest piece',
        mend: 'let us cut the cake in two',
      },
      { matter: 'the rules of a game', word: 'You are cheating', mend: 'let us make new rules together' },
      {
        matter: 'which way to go',
        word: 'You never listen to me',
        mend: 'let us go your way today and my way tomorrow',
      },
      { matter: 'a broken {thing}', word: 'It was your fault', mend: 'let us mend the {thing} together' },
    ],
    beats: [
      [
        '{a} and {b.new} played together every day.',
        '{a} and {b.new} were the best of friends.',
        '{a} spent every day with {b.new}.',
      ],
      [
        'But {day.small}, they quarreled about {matter}.',
        '{day}, they were playing {at}. Then they began to quarrel about {matter}.',
        '{weather}, but {a} and {b} were angry. They quarreled about {matter}.',
      ],
      [
        '"{word}!" said {b}. "That is not true!" cried {a}. And each of them went home alone.',
        '"{word}!" shouted {a}. {b} turned around and left without a word.',
        '"{word}!" said {b}. {a} became so angry that {a.he} ran away.',
      ],
      [
        'The next day was long and empty. It was no fun to play alone. {sad}',
        'At home, {a} could not eat or sleep. {a.he} missed {b}. {meet}',
        '{a} sat at home and was still angry. But after a while {a.he} was only sad. {meet}',
      ],
      [
        '"A quarrel is like a cloud," said {c.new}. "It will pass when one of you is brave enough to speak."',
        '"What is more important, being right or having a friend?" asked {c.new}. {a} thought about it.',
        '"Someone has to take the first step," said {c.new}. "Why not you?"',
      ],
      [
        'So {a} went to {b}. "I am sorry," {a.he} said. "I am sorry too," said {b}. "And I have an idea: {mend}."',
        '{a} took {food} and knocked at the door. "I am sorry," {a.he} said. "Please, {mend}." {b} smiled. "I was just coming to you," {b.he} said.',
        'On the way, {a} met {b}. Both began at the same time, "I am sorry!" Then they had to laugh. "From now on, {mend}," said {a}.',
      ],
    ],
    ends: ['{friends}', '{party} {friends}', 'The cloud was gone, and they played until it was dark.'],
    morals: [
      'A true friend can say sorry.',
      'It takes two to quarrel, but one can end it.',
      'Friends are more important than being right.',
    ],
  },
  {
    topics: ['a birthday', 'a birthday party', 'a surprise', 'a present'],
    scenarios: [
      { gift: 'a~ {color} {thing}', how: 'made by hand, with a lot of love', need: 'a present' },
      { gift: 'a book with empty pages', how: 'for all the stories that were still to come', need: 'a present' },
      { gift: 'a small wooden boat', how: 'with a name painted on it in {color}', need: 'a present' },
      { gift: 'a sheet of paper with a song on it', how: 'written only for this day', need: 'a present' },
      { gift: 'a cake with {color} candles', how: 'as high as a tower', need: 'a cake' },
    ],
    beats: [
      [
        '{day}, it was the birthday of {b.new}.',
        'It was almost time for a birthday. {b.New} was going to have a party.',
        '{day}, {a} remembered that {b.new} had a birthday that very day.',
      ],
      [
        '{a} wanted to find {need}, but {a.he} had no money. {sad}',
        '{a} wanted to give {b.him} something special. But what? {a.he} thought and thought.',
        '"I have nothing to give," said {a}. {sad}',
      ],
      [
        '{meet} {ask}',
        '{a.he} asked {c.new} for advice. "The best gifts cannot be bought," said {c}. "They are made."',
        '{meet} "You do not need money," {c.he} said. "Make something yourself."',
      ],
      [
        '{think} Then {c} showed {a.him} what to do. They worked [all day|until the evening].',
        'So {a} got to work. {c} helped a little. They cut and glued, mixed and tried.',
        '{a} ran home and began at once. Twice it went wrong, but {a.he} did not give up.',
      ],
      [
        'At the party, {b} opened many presents. Then it was the turn of {a}. It was {gift}, {how}.',
        'In the evening, {a} knocked at the door with something behind {a.his} back. It was {gift}, {how}.',
        '"Close your eyes," said {a}. When {b} opened them again, there was {gift}, {how}.',
      ],
      [
        '{b} was silent for a moment. "This is the best present of all," {b.he} said. {glad}',
        '"You made this for me?" asked {b}. Then {b.he} gave {a} a big hug. {glad}',
        '{b.his} eyes became wet. "Nobody has ever given me anything so beautiful," {b.he} said.',
      ],
    ],
    ends: ['{party}', '{friends}', 'They danced and played games until late at night.', '{end}'],
    morals: [
      'The best presents come from the heart.',
      'It is the thought that counts.',
      'To give makes you as happy as to receive.',
    ],
  },
  {
    topics: ['helping an animal', 'helping a {pet}', 'a little {pet} in trouble', 'someone who helps'],
    scenarios: [
      {
        pet: 'bird',
        trouble: 'It had a broken wing and could not fly',
        care: 'made a nest of soft wool in a box and fed it with seeds',
        time: 'the wing was strong again, and the bird flew up into the blue sky',
      },
      {
        pet: 'cat',
        trouble: 'It was wet and hungry and meowed softly',
        care: 'dried it with a towel and gave it warm milk',
        time: 'the cat was round and happy and purred all day',
      },
      {
        pet: 'fish',
        trouble: 'It was caught in a small pool that was almost dry',
        care: 'filled a bucket with water and carried it to the river',
        time: 'the fish jumped high out of the water, as if to say thank you',
      },
      {
        pet: 'butterfly',
        trouble: 'Its wings were heavy with rain',
        care: 'put it on a leaf in the warm sun and kept the wind away',
        time: 'the butterfly opened its wings and danced over the flowers',
      },
      {
        pet: 'hare',
        trouble: 'Its foot was caught under a branch',
        care: 'lifted the branch with a long stick and washed the foot with clear water',
        time: 'the hare hopped away over the field and turned around once more',
      },
      {
        pet: 'bee',
        trouble: 'It was tired and could not fly any more',
        care: 'put a drop of honey on a leaf in front of it',
        time: 'the bee drank, shook its wings and flew off with a happy hum',
      },
    ],
    beats: [
      [
        '{day}, {a} heard a strange sound {at}.',
        '{day}, {a} was on the way home. {weather}.',
        '{day}, {a} and {b.new} went {to}.',
      ],
      [
        'There, {hide}, was a little {pet}. {trouble}.',
        '{a} looked closer and saw a little {pet}. {trouble}.',
        'Then {a.he} found a little {pet}. {trouble}.',
      ],
      [
        '"You poor thing!" said {a}. "I will help you."',
        '"Do not be afraid," {a} whispered. The {pet} looked up with big eyes.',
        '{a} knelt down. "Who will help you if not me?" {a.he} said.',
      ],
      [
        'But {a} did not know how. So {a.he} asked {c.new}. "Be gentle and take your time," said {c}.',
        '{meet} "What should I do?" asked {a}. "Stay calm and be gentle," said {c}.',
        '{a.he} ran to {c.new}. "Can you help us?" {a.he} asked. {c} showed {a.him} what to do.',
      ],
      [
        'So {a} {care}. {a.he} stayed with the {pet} for a long time.',
        'Very gently, {a} {care}.',
        '{a} {care}. "Now we have to wait," said {c}.',
      ],
      [
        'And in the end, {time}. {glad}',
        '{a} waited and hoped. And then {time}. {glad}',
        'It did not take long, and {time}. {a} waved.',
      ],
    ],
    ends: [
      'Since then, the {pet} has often come back to visit {a}.',
      '{thanks}',
      '{end}',
      'And {a} knew that {a.he} had made a new friend.',
    ],
    morals: [
      'Nobody is too small to help.',
      'A little kindness goes a long way.',
      'Be gentle with those who are smaller than you.',
    ],
  },
  {
    topics: ['{topic}', '{topic}', 'bad weather'],
    scenarios: [
      {
        topic: '[the rain|a flood]',
        bad: 'It rained for seven days, and the river rose higher and higher',
        danger: 'the water came closer to the houses',
        plan: 'filled bags with sand and built a wall',
        saved: 'the water stopped at the wall',
      },
      {
        topic: '[a snowstorm|the snow|winter]',
        bad: 'It snowed so much that all the doors were blocked',
        danger: 'nobody could get out to fetch wood',
        plan: 'dug a tunnel from house to house',
        saved: 'everyone sat warm by the fire',
      },
      {
        topic: '[the wind|a storm]',
        bad: 'The wind blew so hard that the roofs began to shake',
        danger: 'the roof of the school was about to fly away',
        plan: 'threw long ropes over the roof and tied them to the trees',
        saved: 'the roof stayed where it was',
      },
      {
        topic: 'a [dry|hot] summer',
        bad: 'It did not rain for many weeks, and the well was dry',
        danger: 'the flowers and the animals were thirsty',
        plan: 'carried water from the mountain lake, bucket by bucket',
        saved: 'everyone had enough to drink until the rain came',
      },
      {
        topic: '[winter|a cold winter]',
        bad: 'A cold winter came, and there was not much food',
        danger: 'the small birds were hungry',
        plan: 'put all the nuts and seeds they had into one big basket and shared them',
        saved: 'there was enough for everyone until spring',
      },
    ],
    beats: [
      ['{bad}.', '"Look outside," said {b.new}. {bad}.', 'Nobody had ever seen such weather. {bad}.'],
      [
        'Soon {danger}. Everyone was worried.',
        '{a} saw that {danger}.',
        '"This is dangerous," said {a}. And it was true: {danger}.',
      ],
      [
        '"We must do something," said {a} to {b.new}.',
        'Some cried, and some ran about. But {a} stayed calm.',
        '"What can we do?" asked {b.new}. {a} thought hard.',
      ],
      [
        '"If we all work together, we can do it," said {a}.',
        '{meet} "Alone you can do nothing," {c.he} said. "Together you can."',
        '{a} rang the big bell, and everyone came. "I have a plan," {a.he} said.',
      ],
      [
        'So the big ones and the small ones came, and together they {plan}.',
        'They stood in a long line and {plan}. It took all day and all night.',
        'They {plan}. {a} worked harder than anyone.',
      ],
      [
        'And it worked: {saved}. {glad}',
        'In the morning, {saved}. "We did it!" called {a}.',
        'They were tired, but {saved}. {glad}',
      ],
    ],
    ends: [
      '{party}',
      'When the sun came out again, they danced in the street.',
      'And everyone thanked {a} for the good idea.',
      '{end}',
    ],
    morals: [
      'Together we are strong.',
      'In bad weather you see who your friends are.',
      'After the rain, the sun shines twice as bright.',
    ],
  },
];

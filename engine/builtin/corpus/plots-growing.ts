/** Plots about courage, practice, patience and fairness. */
import type { Plot } from './plot.ts';

export const growingPlots: readonly Plot[] = [
  {
    topics: ['being brave', 'being afraid of {fear}', 'a fear', 'courage'],
    scenarios: [
      {
        fear: 'the dark',
        when: 'the lamp went out',
        truth: 'The dark is only the world with its eyes closed',
        act: 'walked to the window, looked at the stars and counted them',
        gain: 'saw how beautiful the night was',
      },
      {
        fear: 'thunder',
        when: 'the sky began to rumble',
        truth: 'Thunder is only the clouds bumping into each other',
        act: 'counted slowly from the flash to the bang and sang a loud song',
        gain: 'noticed that the storm was going away',
      },
      {
        fear: 'deep water',
        when: 'the others jumped into the lake',
        truth: 'The water carries you if you let it',
        act: 'went in step by step, breathed slowly and let go',
        gain: 'floated on the water like a leaf',
      },
      {
        fear: 'heights',
        when: 'the others climbed the hill',
        truth: 'Do not look down, look at the next step',
        act: 'took one step, and then another, and then one more',
        gain: 'stood at the very top and saw the whole valley',
      },
      {
        fear: 'talking to others',
        when: 'someone said hello',
        truth: 'Most of us are a little shy inside',
        act: 'took a deep breath and said hello first',
        gain: 'made three new friends in one day',
      },
      {
        fear: 'the old bridge',
        when: 'the path led over the river',
        truth: 'It has carried many feet, and it will carry yours',
        act: 'held the rail and walked across without stopping',
        gain: 'stood on the other side and laughed',
      },
    ],
    beats: [
      [
        'But there was one thing that {a} was afraid of: {fear}.',
        '{a} was not afraid of many things. But {a.he} was very afraid of {fear}.',
        '{a} had a secret. {a.he} was afraid of {fear}.',
      ],
      [
        'Whenever {when}, {a.his} knees began to shake.',
        'Whenever {when}, {a.he} wanted to hide.',
        'Each time {when}, {a} ran home as fast as {a.he} could.',
      ],
      [
        '{day}, {when}, and {a} began to tremble. {meet}',
        '{day} it happened again: {when}. {a} closed {a.his} eyes. {meet}',
        '{meet} "Why are you hiding?" {c.he} asked.',
      ],
      [
        '"I am afraid of {fear}," said {a}. "I was afraid of it too when I was young," said {c}. "{truth}."',
        '{ask} "{truth}," said {c}.',
        '"Everyone is afraid of something," said {c}. "But listen. {truth}."',
      ],
      [
        '{a} thought about that. The next time {when}, {a.he} did not run. {a.he} {act}.',
        '"I will stay with you," said {c}. So {a} tried it. {a.he} {act}.',
        '{a} swallowed hard. Then {a.he} {act}.',
      ],
      [
        'And what happened? {a.he} {gain}. {glad}',
        'And then {a.he} {gain}. "I did it!" {a.he} [called|said].',
        'It was not so bad at all. {a} {gain}. {glad}',
      ],
    ],
    ends: ['{thanks}', 'After that, {a} was no longer afraid of {fear}.', '{end}'],
    morals: [
      'To be brave is to be afraid and do it anyway.',
      'Fear gets smaller when we look at it.',
      'With a friend beside you, you can do hard things.',
    ],
  },
  {
    topics: ['learning to {skill}', 'learning something new', 'not giving up', 'practice'],
    scenarios: [
      {
        skill: 'swim',
        fail: '{a.he} swallowed water and came up coughing',
        tip: 'Kick with your legs and keep your chin up',
        win: 'swam all the way across the pond',
      },
      {
        skill: 'whistle',
        fail: 'nothing came out but air',
        tip: 'Make your mouth small and blow softly',
        win: 'whistled so well that the birds answered',
      },
      {
        skill: 'bake bread',
        fail: 'the bread came out [black|flat as a stone]',
        tip: 'Give the dough time to rise, and do not hurry',
        win: 'took a golden loaf out of the oven',
      },
      {
        skill: 'play the flute',
        fail: 'it sounded like an angry goose',
        tip: 'Play slowly, one note after the other',
        win: 'played a song that made everyone dance',
      },
      {
        skill: 'skate',
        fail: '{a.he} fell on {a.his} nose',
        tip: 'Bend your knees and look ahead',
        win: 'glided over the ice in a big circle',
      },
      {
        skill: 'read',
        fail: 'the letters danced before {a.his} eyes',
        tip: 'Say each letter out loud and then put them together',
        win: 'read a whole story from the first word to the last',
      },
      {
        skill: 'paint',
        fail: 'the tree looked like a carrot',
        tip: 'Look first, and paint only what you see',
        win: 'painted the sunset so well that everyone stopped to look',
      },
      {
        skill: 'juggle',
        fail: 'all the balls rolled down the hill',
        tip: 'Begin with two, and take the third one later',
        win: 'kept three balls in the air',
      },
    ],
    beats: [
      [
        '{a} wanted to learn to {skill}.',
        'There was one thing that {a} wished to do: {skill}.',
        'All {a.his} friends could {skill}, but {a} could not.',
      ],
      [
        '{day}, {a.he} tried it for the first time, but {fail}.',
        '{day}, {a.he} began. It did not go well: {fail}.',
        '"It cannot be so hard," {a.he} thought. But when {a.he} tried, {fail}.',
      ],
      [
        '{a.he} tried again and again. {sad}',
        'The second time was no better. "I will never learn to {skill}," {a} said.',
        '{sad} "I give up," {a.he} said.',
      ],
      [
        '{meet} "Do not give up," {c.he} said. "{tip}."',
        '{c.New} had seen it all. "I also fell many times," {c.he} said. "{tip}."',
        '{meet} {ask} "{tip}," said {c}.',
      ],
      [
        'So {a} practiced every day. On Monday it was a little better. On Friday it was much better.',
        '{a} tried it like that, and it was already a little better. {a.he} practiced in the morning and in the evening.',
        'Day after day, {a} practiced. Sometimes {a.he} failed, but {a.he} always got up again.',
      ],
      [
        'And [one day|after two weeks], {a.he} {win}. {glad}',
        'Then came the day when {a} {win}. {c} clapped. {glad}',
        'And at last {a.he} {win}. "You see?" said {c}.',
      ],
    ],
    ends: ['{thanks}', 'Now {a} could {skill}, and soon {a.he} taught it to others.', '{end}'],
    morals: ['Practice makes perfect.', 'Nobody is born a master.', 'Whoever falls and gets up again will learn.'],
  },
  {
    topics: ['a seed', '{seed}', 'patience', '{plant}'],
    scenarios: [
      {
        seed: 'a tiny brown seed',
        plant: 'a sunflower as tall as a house',
        need: 'water and sunlight',
        gift: 'gave everyone a handful of new seeds',
      },
      {
        seed: 'a round black seed',
        plant: 'a big orange pumpkin',
        need: 'water and warm earth',
        gift: 'cooked a soup for the whole village',
      },
      {
        seed: 'a small white seed',
        plant: 'a rose bush full of red roses',
        need: 'water and a little care',
        gift: 'put a rose on every table',
      },
      {
        seed: 'a strange golden seed',
        plant: 'a young apple tree',
        need: 'water and many sunny days',
        gift: 'shared the first apples with all the neighbors',
      },
      {
        seed: 'a seed shaped like a bean',
        plant: 'a vine that climbed up to the roof',
        need: 'water and a strong stick',
        gift: 'picked a whole basket of beans for the neighbors',
      },
    ],
    beats: [
      [
        '{day}, {a} found {seed}.',
        '{c.New} gave {a} {seed}. "Take good care of it," {c.he} said.',
        '{day}, the wind blew {seed} in front of {a.his} door.',
      ],
      [
        '{a} planted it in the earth and watered it. Then {a.he} sat down and waited.',
        '{a.he} dug a little hole, put the seed inside and covered it with earth.',
        '{a} put the seed into the ground in a sunny spot.',
      ],
      [
        'The next morning, {a.he} ran to look. There was nothing to see. {sad}',
        'One day passed, then two, then three. Nothing happened. "Grow, please grow!" said {a}.',
        '{a} looked every hour, but nothing came up. {sad}',
      ],
      [
        '"What does it need?" {a} asked {c.new}. "It needs {need}, and it needs time," said {c}.',
        '{meet} "You must be patient," {c.he} said. "It needs {need}. The rest happens under the ground, where you cannot see it."',
        '"Maybe it is asleep," said {c.new}. "Give it {need}, and sing it a song."',
      ],
      [
        'So {a} came every day with a can of water. {weather}. And one morning, a tiny green tip peeked out of the earth.',
        '{a} did what {c} had said, day after day. Then, after a night of rain, two small leaves were there.',
        'Weeks went by. {a} watered, waited and sang. And then, at last, the earth opened, and something green came out.',
      ],
      [
        'It grew and grew, and by the end of summer it was {plant}. {glad}',
        'The little plant became bigger every day, until it was {plant}. {glad}',
        'And when summer came, there stood {plant}. "Look what you have done," said {c}.',
      ],
    ],
    ends: [
      '{a} was so proud that {a.he} {gift}.',
      'And {a} {gift}.',
      '{a} {gift}, and {c} got the biggest share. {end}',
    ],
    morals: ['Good things take time.', 'Small seeds can become great things.', 'Patience is the best gardener.'],
  },
  {
    topics: ['a race', 'a contest', 'winning', 'running'],
    scenarios: [
      {
        prize: 'a golden cup',
        goal: 'the big oak tree',
        trouble: 'fell into a hole and hurt {b.his} foot',
        rest: 'leaned on {a}',
      },
      { prize: 'a basket of apples', goal: 'the old mill', trouble: 'got stuck in the mud', rest: 'held on to {a}' },
      { prize: 'a shiny medal', goal: 'the stone bridge', trouble: 'stumbled over a root', rest: 'walked beside {a}' },
      {
        prize: 'a blue ribbon',
        goal: 'the top of the hill',
        trouble: 'got caught in a thorn bush',
        rest: 'took a deep breath beside {a}',
      },
    ],
    beats: [
      [
        '{day}, there was a big race. The prize was {prize}.',
        'Every year there was a race to {goal}. Whoever won got {prize}.',
        'Everyone was talking about the great race to {goal}. {a} wanted to win {prize}.',
      ],
      [
        '{b.New} was the fastest of all. "Nobody can beat me," {b.he} said. {a} said nothing.',
        '{a} had practiced for weeks. But {b.new} was very fast too.',
        'At the start, {a} stood next to {b.new}. "May the best one win," said {b}.',
      ],
      [
        '"Ready, steady, go!" They all ran. {b} was in front, and {a} was right behind.',
        'The bell rang, and off they went. Dust flew up. {a} ran as fast as {a.he} could.',
        '"Go!" called {c.new}, and everyone started to run. Soon {a} and {b} were far ahead of the others.',
      ],
      [
        'But just before {goal}, {b} {trouble}. "Help!" {b.he} called.',
        'Then it happened: {b} {trouble}. {a} could see {goal} already. Nobody else was near.',
        'Halfway to {goal}, {b} {trouble} and could not go on.',
      ],
      [
        '{a} could have won. But {a.he} stopped, turned around and helped {b}. {b} {rest}.',
        '{a} thought of the prize. Then {a.he} looked at {b} and knew what to do. {a.he} helped {b.him} up, and {b} {rest}.',
        '"Run on, you will win!" said {b}. {a} shook {a.his} head. "Not without you," {a.he} said and helped {b.him}. {b} {rest}.',
      ],
      [
        'They crossed the line together, the very last of all. But everyone cheered for them, and they both got {prize}.',
        'The others had already passed them. But when the two reached the end, the crowd clapped louder than ever. "You are the real winners," said {c.new} and gave them {prize}.',
        'Side by side they came to the end. "I have never seen a finer race," said {c.new}. And so the prize went to both of them.',
      ],
    ],
    ends: ['{friends}', '{glad} {party}', '{end}'],
    morals: [
      'It is more important to be kind than to be first.',
      'A friend is worth more than a prize.',
      'The one who helps has already won.',
    ],
  },
];

/** Plots about songs and wishes. */
import type { Plot } from './plot.ts';

export const dreamingPlots: readonly Plot[] = [
  {
    topics: ['a song', 'music', 'a concert', 'being shy'],
    scenarios: [
      { art: 'sing', do: 'sang', place: 'at the summer party', worry: 'what if I forget the words' },
      { art: 'play the drum', do: 'played', place: 'on the big stage', worry: 'what if I am too loud' },
      { art: 'dance', do: 'danced', place: 'at the harvest feast', worry: 'what if I fall' },
      { art: 'play the violin', do: 'played', place: 'in the town square', worry: 'what if a string breaks' },
      { art: 'tell stories', do: 'told a story', place: 'by the big fire', worry: 'what if nobody listens' },
    ],
    beats: [
      [
        '{a} could {art} very well, but only when nobody was there.',
        'When {a} was alone, {a.he} loved to {art}. But {a.he} was too shy to do it in front of others.',
        '{a} loved to {art} more than anything else in the world.',
      ],
      [
        '{day}, {b.new} heard {a.him} by chance. "That is beautiful!" {b.he} said. "You must do that {place}."',
        '{day}, {b.new} stood at the door and listened. "Please {art} {place}," said {b}.',
        '{b.New} said, "There will be a great evening {place}. Everyone would love to hear you."',
      ],
      [
        '"No, no," said {a}. "{worry}?"',
        '{a} turned red. "I cannot," {a.he} said. "{worry}?"',
        'That night {a} could not sleep. "{worry}?" {a.he} thought.',
      ],
      [
        '"Then look only at me," said {b}. "Do it as if we were alone."',
        '"Everyone makes mistakes," said {b}. "What counts is that it comes from your heart."',
        '"I will stand right next to you," {b} promised.',
      ],
      [
        'The great evening came. {a} stood {place}, and {a.his} heart beat fast. Then {a.he} saw {b}, took a deep breath, and {do}.',
        'When {a.his} turn came, {a.his} legs were shaking. But {b} smiled, and so {a} closed {a.his} eyes and {do}.',
        'So many faces looked at {a}! {a.he} looked only at {b}. And {a.he} {do}, softly at first, and then louder and louder.',
      ],
      [
        'When it was over, there was silence. Then everyone clapped and cheered. {glad}',
        'Nobody made a sound until the end. Then the clapping would not stop. {glad}',
        '"More! More!" everyone called. {glad}',
      ],
    ],
    ends: ['"I told you so," said {b}. {friends}', 'From then on, {a} was no longer shy.', '{friends}', '{end}'],
    morals: ['Show the world what you can do.', 'A friend can give you courage.', 'Do not hide your gifts.'],
  },
  {
    topics: ['a wish', 'a star', 'the moon', 'a dream'],
    scenarios: [
      {
        wish: 'to fly',
        way: 'the wind picked {a.him} up and carried {a.him} over the roofs',
        learn: 'the world is big, but home is the best place in it',
      },
      {
        wish: 'to touch the moon',
        way: 'the moon lay in the lake, round and bright, and {a.he} touched it with one finger',
        learn: 'wishes sometimes come true in another way than we think',
      },
      {
        wish: 'for a friend',
        way: 'someone knocked at the door, and there stood {b.new} with a smile and a cake',
        learn: 'a friend is the best wish of all',
      },
      {
        wish: 'to be big',
        way: '{a.he} grew as tall as a tree, and all the doors were too small for {a.him}, until the star made {a.him} small again',
        learn: 'it is good to be just who you are',
      },
      {
        wish: 'for snow in summer',
        way: 'white petals fell from all the trees and covered the ground like snow',
        learn: 'there is magic in every season',
      },
      {
        wish: 'to talk with the stars',
        way: 'a small voice said from above, "Good evening, {a.name}, we have been waiting for you"',
        learn: 'nobody is ever quite alone',
      },
    ],
    beats: [
      [
        '{a} had one great wish. {a.he} wished {wish}.',
        'Every evening, {a} sat at the window and wished {wish}.',
        'In {a.his} dreams, {a} wished {wish}.',
      ],
      [
        'One night, a shooting star crossed the sky.',
        'One clear night, the stars were so bright that {a} could not sleep.',
        'One night, a star fell down and landed softly in the grass.',
      ],
      [
        '{a} [closed {a.his} eyes|held {a.his} breath] and said the wish out loud.',
        '"Dear star," said {a}, "I wish {wish}." The star [twinkled|blinked twice].',
        '{a} whispered the wish very softly, so that only the star could hear it.',
      ],
      [
        'At first, nothing happened. {a} waited. Everything was quiet.',
        'The wind stopped, and the whole world held its breath.',
        '"Well," said {a}, "maybe it was only a dream."',
      ],
      ['And then {way}.', 'But the next evening, {way}.', 'Suddenly there was a soft light, and {way}.'],
      [
        '{glad} And {a} understood: {learn}.',
        '{a} [laughed|smiled]. "Now I know," {a.he} said. "{learn}."',
        'It was wonderful. {glad} And {a.he} learned that {learn}.',
      ],
    ],
    ends: [
      '{end}',
      'Since then, {a} says good night to the stars every evening.',
      '{a} looked up and said, "Thank you."',
      '{end}',
    ],
    morals: ['Never stop dreaming.', 'Wishes need time, just like flowers.', 'Look up at the sky from time to time.'],
  },
];

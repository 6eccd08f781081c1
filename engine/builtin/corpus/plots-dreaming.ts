/** Plots about songs, wishes, treasures and promises. */
import type { Plot } from './plot.ts';

export const dreamingPlots: readonly Plot[] = [
  {
    topics: ['being shy', 'someone who loves to {art}', 'someone who is too shy to {art}'],
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
    topics: ['a wish', 'a star', 'a dream', 'a wish that comes true', 'someone who wishes {wish}'],
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
        way: 'a small voice from above called {a.his} name and told {a.him} about the night',
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
  {
    topics: ['a treasure', 'a treasure map', 'an old map', 'a treasure hunt'],
    scenarios: [
      {
        found: 'an old map',
        mark: 'a red cross by the big rock',
        task: 'they dug in the earth until they hit something hard',
        prize: 'a wooden chest full of old picture books',
        use: 'read the stories to everyone in the village',
      },
      {
        found: 'a letter in a bottle',
        mark: 'a drawing of three tall trees',
        task: 'they counted seven steps to the east and lifted a flat stone',
        prize: 'a box of glass marbles in all colors',
        use: 'gave one to every child they met',
      },
      {
        found: 'a key with a paper tied to it',
        mark: 'the words "under the old well"',
        task: 'they climbed down and opened a small iron door',
        prize: 'a golden music box',
        use: 'played its song for everyone in the evening',
      },
      {
        found: 'a torn piece of a map',
        mark: 'a small house beside a stream',
        task: 'they followed the stream up to its spring and looked behind the ferns',
        prize: 'a bag of rare flower seeds',
        use: 'planted them along the road',
      },
    ],
    beats: [
      [
        '{day}, {a} found {found} {hide}.',
        '{day}, {a} was cleaning the attic and found {found}.',
        '{day}, {a} was digging in the earth and found {found}.',
      ],
      [
        'There was {mark} on it. "That must be a treasure!" {a} cried.',
        '{a} looked at it closely and saw {mark}. What could it mean?',
        'On the back there was {mark}. {a.his} heart began to beat faster.',
      ],
      [
        '{a} showed it to {b.new}. "Let us go and look," said {b}.',
        '{b.New} looked over {a.his} shoulder. "I know where that is!" {b.he} said.',
        'At once {a} ran to {b.new}. "Will you come with me?" {a.he} asked. Of course {b} came along.',
      ],
      [
        'They packed {food} and walked all morning. {weather}.',
        'The way was long and [steep|stony], but they sang and did not feel tired.',
        'Twice they took a wrong turn and had to go back. "We will not give up," said {a}.',
      ],
      [
        'At last they found the right place. There {task}.',
        '"Here it is!" called {b}. And {task}.',
        'When they reached the place, {task}. They held their breath.',
      ],
      [
        'Inside was {prize}! {glad}',
        'And there it was: {prize}. "It is better than gold," said {b}.',
        'What they found was {prize}. {glad}',
      ],
    ],
    ends: [
      'They took it home and {use}. {end}',
      '{a} and {b} {use}.',
      'And the next day, they {use}. {friends}',
      '{friends}',
    ],
    morals: [
      'The best treasures are those we share.',
      'Not all treasures are made of gold.',
      'Whoever is curious finds more.',
    ],
  },
  {
    topics: ['a letter', 'a parcel', 'an important message', 'keeping your word'],
    scenarios: [
      {
        load: 'a letter',
        block: 'the bridge was broken',
        way: 'crossed the river on the back of a friendly horse',
        reason: 'it was from an old friend',
      },
      {
        load: 'a basket of medicine',
        block: 'deep snow lay on the road',
        way: 'tied two boards under {a.his} feet and slid over the snow',
        reason: 'someone in the house was ill',
      },
      {
        load: 'a birthday cake',
        block: 'it began to rain hard',
        way: 'held a big leaf over the cake all the way',
        reason: 'the party was about to begin',
      },
      {
        load: 'a small parcel',
        block: 'a tree lay across the road',
        way: 'crept through under the branches and pulled the parcel behind {a.him}',
        reason: 'there were new glasses in it',
      },
    ],
    beats: [
      [
        '{day}, {c.new} asked {a} to bring {load} to {b.new}.',
        '{day}, {a} got an important task: {a.he} was to bring {load} to {b.new}.',
        '{day}, {load} had to be brought to {b.new}. "I will do it," said {a}.',
      ],
      [
        '"I will be there before dark. I promise," {a} said.',
        '"You can count on me," said {a} and set out at once.',
        '{a} held it carefully and walked off. {weather}.',
      ],
      [
        'But half way there, {a.he} had to stop: {block}.',
        'Everything went well until noon. Then {a} stood still: {block}.',
        '{a.he} had not gone far when there was trouble: {block}.',
      ],
      [
        '{sad} But a promise is a promise.',
        '"I could turn back," {a.he} thought. "But I gave my word."',
        '{a} sat down on a stone and thought about it for a while.',
      ],
      [
        'Then {a} had an idea. {a.he} {way}.',
        'So {a} took heart and {way}. It was not easy, but it worked.',
        'And what did {a} do? {a.he} {way}.',
      ],
      [
        'It was almost dark when {a} knocked at the door. {b} was very happy, because {reason}.',
        'Just in time, {a} stood at the door. "You came!" cried {b}. {b.he} was so glad, for {reason}.',
        '"I knew that you would come," said {b} when {a} arrived at last. {b.he} laughed for joy, because {reason}.',
      ],
    ],
    ends: ['"Stay for dinner," said {b}. {party}', '{glad} {friends}', '{end}', '{friends}'],
    morals: [
      'Keep your word, even when it is hard.',
      'Where there is a will, there is a way.',
      'You can count on a good friend.',
    ],
  },
];

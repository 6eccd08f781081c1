/** Plots about sharing, honesty and a new friend. */
import type { Plot } from './plot.ts';

export const caringPlots: readonly Plot[] = [
  {
    topics: ['sharing', 'cooking', 'a hungry guest', '{dish}'],
    scenarios: [
      {
        dish: 'a big pot of soup',
        start: 'a pot of water and one carrot',
        add: 'One brought a potato, another one an onion, and someone had a little salt',
        smell: 'Soon the whole street smelled of soup',
      },
      {
        dish: 'an apple cake',
        start: 'a bowl of flour',
        add: 'One brought eggs, another one butter, and someone had three red apples',
        smell: 'Soon the whole house smelled of apples',
      },
      {
        dish: 'a giant pizza',
        start: 'a ball of dough',
        add: 'One brought tomatoes, another one cheese, and someone had green herbs',
        smell: 'Soon a wonderful smell came out of the oven',
      },
      {
        dish: 'a mountain of pancakes',
        start: 'a jug of milk',
        add: 'One brought flour, another one eggs, and someone had a jar of honey',
        smell: 'Soon the pan was hot and the kitchen smelled of honey',
      },
    ],
    beats: [
      [
        '{day}, {a} was very hungry, but all {a.he} had was {start}.',
        '{day}, {a} looked around the kitchen. There was only {start}.',
        '{a} wanted to make {dish}. But {a.he} only had {start}.',
      ],
      [
        'There was a knock at the door. {b.New} stood outside. "I am so hungry," {b.he} said.',
        'Then {b.new} came to visit. "I have nothing to eat at home," said {b}.',
        '{b.New} looked in at the window. "Do you have something to eat?" {b.he} asked.',
      ],
      [
        '{a} did not have much. But {a.he} said, "Come in. What I have, we will share."',
        '"It is not enough for two," thought {a}. But then {a.he} saw how thin {b} was. "Sit down," {a.he} said.',
        '"I do not have much," said {a}, "but half of it is yours."',
      ],
      [
        '"I know what to do," said {b}. "Let us ask the neighbors." And they came, one after the other.',
        '{meet} "I can bring something too," said {c.he}. "And I will tell the others."',
        'The neighbors heard it and did not want to stay behind.',
      ],
      [
        '{add}. {smell}.',
        'Everyone gave a little. {add}. They stirred and laughed. {smell}.',
        '{add}. {a} put it all together and stirred. {smell}.',
      ],
      [
        'In the end there was {dish}, and it was enough for all. {glad}',
        'And so they made {dish}. They sat around one big table, and everyone ate until they were full.',
        'And what a feast it was! There was {dish}, and something was even left over for the next day.',
      ],
    ],
    ends: [
      '"Food tastes best when it is shared," said {b}.',
      '{friends}',
      'After dinner, they told stories until the fire burned low. {end}',
      '{end}',
    ],
    morals: [
      'Whoever shares has more.',
      'A little from everyone is enough for all.',
      'What you share comes back to you.',
    ],
  },
  {
    topics: ['telling the truth', 'a broken {item}', 'a mistake', 'being honest'],
    scenarios: [
      { item: 'window', how: 'the ball flew much too far', fix: 'sweep up the glass and put in a new pane' },
      { item: 'blue vase', how: '{a.he} turned around too fast', fix: 'glue the pieces together, one by one' },
      {
        item: 'clock',
        how: '{a.he} wanted to see how it worked inside',
        fix: 'put all the little wheels back in the right place',
      },
      { item: 'fence', how: '{a.he} had tried to ride on it', fix: 'nail new boards on it and paint them {color}' },
      {
        item: 'jar of honey',
        how: '{a.he} only wanted to taste a little',
        fix: 'clean the floor and gather new honey',
      },
    ],
    beats: [
      [
        '{day}, {a} was visiting {c.new}.',
        '{c.New} lived next door to {a}. {day}, {a} came to play there.',
        '{day}, {a} was alone in the house of {c.new}.',
      ],
      [
        'Then there was a loud crash. The {item} was broken, because {how}.',
        'Suddenly something cracked. It was the {item}! It broke because {how}.',
        'It all went very fast: {how}, and the {item} broke.',
      ],
      [
        '{a} was frightened. Nobody had seen it. {a.he} could just run away.',
        '"If I say nothing, nobody will know," {a} thought. But there was a knot in {a.his} stomach.',
        '{a} ran home and hid under the blanket. {a.he} could not stop thinking about it.',
      ],
      [
        '"What should I do?" {a} asked {b.new}. "Tell the truth," said {b}. "I will come with you."',
        '{a} told {b.new} about it. "It will not get better if you hide it," said {b}.',
        'All night {a} could not sleep. In the morning {a.he} knew what was right.',
      ],
      [
        'So {a} went to {c}. "I broke the {item}," {a.he} said in a small voice. "I am so sorry."',
        'With a red face, {a} stood before {c}. "It was me," {a.he} said. "I broke the {item}, and I am sorry."',
        '{a} took a deep breath and told {c} everything.',
      ],
      [
        '{c} was quiet for a moment. Then {c.he} smiled. "Thank you for telling me," {c.he} said. "Now you can help me {fix}."',
        '"It was brave of you to say that," said {c}. "A {item} can be mended. Come, we will {fix}."',
        '{c} was not angry at all. "Everyone makes mistakes," {c.he} said. "Let us {fix}." And so they did.',
      ],
    ],
    ends: [
      'When it was done, {a} felt as light as a feather.',
      'The knot in {a.his} stomach was gone. {end}',
      '{party}',
      '{end}',
    ],
    morals: [
      'The truth makes the heart light.',
      'It is brave to say, "It was me."',
      'A mistake can be mended, but a lie stays.',
    ],
  },
  {
    topics: ['a new friend', 'someone new in town', 'being alone', 'making friends'],
    scenarios: [
      { odd: 'spoke very little', love: 'knew the names of all the stars', do: 'looked at the stars from the roof' },
      {
        odd: 'always sat alone under a tree',
        love: 'could carve small animals out of wood',
        do: 'carved a whole zoo out of wood',
      },
      { odd: 'wore a very strange hat', love: 'could do magic tricks with a coin', do: 'put on a magic show' },
      { odd: 'spoke another language', love: 'knew songs from far away', do: 'taught each other songs' },
      {
        odd: 'was bigger than all the others',
        love: 'could reach the highest apples',
        do: 'picked apples for everyone',
      },
    ],
    beats: [
      [
        '{day}, someone new came to live nearby. It was {b.stranger}.',
        '{day}, {a} saw a new face. It was {b.stranger}.',
        'Next door there was an empty house. {day}, {b.stranger} moved in.',
      ],
      [
        '{b} {odd}, and nobody talked to {b.him}.',
        '{b} {odd}. The others whispered and kept away.',
        'The others did not want to play with {b}, because {b.he} {odd}.',
      ],
      [
        '{a} saw how sad {b} looked. "I know how it feels to be alone," {a.he} thought.',
        '{a} watched for a while. Then {a.he} made up {a.his} mind.',
        '"That is not fair," said {a}. "I will go and say hello."',
      ],
      [
        '"Hello, my name is {a.name}," said {a}. "Would you like some {food}?" {b} smiled for the first time.',
        '{a} sat down next to {b.him} and shared {a.his} {food}. At first they said nothing. Then {b} said, "Thank you."',
        '"Do you want to play with me?" asked {a}. {b} looked up. "With me?" {b.he} asked. "Yes, with you," said {a}.',
      ],
      [
        'And then {a} found out that {b} {love}. "Will you show me?" {a} asked.',
        'They talked all afternoon. {b} {love}! {a} was amazed.',
        'Soon {a} learned something wonderful: {b} {love}.',
      ],
      [
        'The next day, they {do}. One after the other, the others came to join them.',
        'Together they {do}, and soon everyone wanted to take part.',
        'When they {do}, the others saw it too. "May we come in?" they asked.',
      ],
    ],
    ends: ['{friends}', 'And {b} was never alone again. {friends}', '{party}', '{end}'],
    morals: [
      'A stranger is a friend you have not met yet.',
      'It only takes one hello to make a friend.',
      'Everyone has something special inside.',
    ],
  },
];

/** The words that stories choose from. Every list stays small enough that each entry is seen often in training. */
export type Gender = 'he' | 'she';

export const names: Readonly<Record<Gender, readonly string[]>> = {
  he: words(
    'Tom Ben Max Sam Leo Finn Milo Oscar Jack Theo Hugo Noah Eli Otto Felix Arlo Jasper Toby Rusty Pip Bruno Casper Remy Kai Ivan Nico Omar Ravi Ned Barney Alfie Henry Gus Monty Rowan Benji Kofi Samir Teddy Walter',
  ),
  she: words(
    'Mia Lily Anna Ella Zoe Ruby Nora Luna Ivy Rosa Emma Clara Maya Daisy Poppy Hazel Willow Tilly Bella Lucy Flora Freya Stella Penny Molly Sofia Amina Lina Mina Olive Pearl Sally Wanda Greta Elsa Nina Juno Maple Dora Kira',
  ),
};

export interface Kind {
  readonly noun: string;
  readonly sort: 'child' | 'animal' | 'worker' | 'wonder';
  /** Fixed where the noun says it. */
  readonly gender?: Gender;
  readonly home: string;
}

export const kinds: readonly Kind[] = [
  ...list('child', '', 'girl', 'she'),
  ...list('child', '', 'boy', 'he'),
  animal('fox', 'in a warm den under an old oak'),
  animal('rabbit', 'in a cozy burrow [on|under] a green hill'),
  animal('bear', 'in a cave [behind a waterfall|in the mountains]'),
  animal('mouse', 'in a tiny hole [behind a bakery|under the stairs of an old mill]'),
  animal('owl', 'in a hollow tree'),
  animal('squirrel', 'at the top of a tall pine tree'),
  animal('hedgehog', 'under a heap of golden leaves'),
  animal('duck', 'by a [quiet|round|blue] pond'),
  animal('frog', 'beside a [green|small|quiet] pond'),
  animal('turtle', 'near a slow river'),
  animal('cat', 'in a [yellow|small|crooked] house at the end of a lane'),
  animal('dog', 'on a farm [near the river|beyond the hill]'),
  animal('puppy', 'in a [red|small|noisy] house on a busy street'),
  animal('kitten', 'in a basket by a warm stove'),
  animal('mole', 'under a [wide|sunny|green] meadow'),
  animal('badger', 'in a deep burrow at the edge of the forest'),
  animal('beaver', 'in a lodge made of sticks'),
  animal('otter', 'on the bank of a clear river'),
  animal('deer', 'in a quiet part of the forest'),
  animal('wolf', 'in the snowy hills'),
  animal('lion', 'on a wide and golden plain'),
  animal('elephant', 'near a great river'),
  animal('monkey', 'in the trees of a green jungle'),
  animal('penguin', 'on a cold and icy shore'),
  animal('goat', 'high up on a mountain'),
  animal('lamb', 'on a soft green hill'),
  animal('pony', 'in a [small|red|warm] stable'),
  animal('donkey', 'in a stable behind the market'),
  animal('pig', 'on a muddy little farm'),
  animal('hen', 'in a wooden coop behind a farmhouse', 'she'),
  animal('crow', 'in a nest on an old tower'),
  animal('sparrow', 'in a nest under the roof of a church'),
  animal('seal', 'on the rocks of a small island'),
  animal('koala', 'in a tall tree'),
  animal('snail', 'under a wide cabbage leaf'),
  ...list(
    'worker',
    'in a [small|cozy|crooked] house in the village',
    'baker gardener teacher painter tailor farmer clockmaker',
  ),
  ...list('worker', 'in a little [house|hut] by the harbor', 'sailor fisher'),
  ...list('worker', 'in a stone castle on a hill', 'knight'),
  ...list('worker', 'in a stone castle on a hill', 'princess queen', 'she'),
  ...list('worker', 'in a stone castle on a hill', 'prince king', 'he'),
  ...list('wonder', 'in a workshop full of [wheels and wires|tools and lamps]', 'robot'),
  ...list('wonder', 'in a cave on a [green|misty|round] mountain', 'dragon'),
  ...list('wonder', 'in a crooked tower at the edge of the forest', 'wizard', 'he'),
  ...list('wonder', 'in a small hut deep in the woods', 'witch', 'she'),
  ...list('wonder', 'in a big stone house beyond the hills', 'giant'),
  ...list('wonder', 'in the attic of an old house', 'ghost'),
  ...list('wonder', 'in a garden full of snow', 'snowman', 'he'),
  ...list('wonder', 'on a [small|green|windy] island', 'pirate'),
];

export const childHomes = [
  'in a small house near the sea',
  'in a village between two hills',
  'in a tall house in the middle of the city',
  'on a farm by the river',
  'in a cottage at the edge of the forest',
  'in a quiet street with many trees',
  'in a little town with a red bridge',
  'above a bakery in a busy town',
];

/** Wise or strong characters who come to help. */
export const helpers: readonly { readonly noun: string; readonly gender?: Gender; readonly trait: string }[] = [
  { noun: 'owl', trait: 'wise' },
  { noun: 'turtle', trait: 'wise' },
  { noun: 'badger', trait: 'old' },
  { noun: 'crow', trait: 'clever' },
  { noun: 'goat', trait: 'old' },
  { noun: 'bear', trait: 'gentle' },
  { noun: 'gardener', trait: 'kind' },
  { noun: 'baker', trait: 'cheerful' },
  { noun: 'sailor', trait: 'old' },
  { noun: 'teacher', trait: 'patient' },
  { noun: 'grandmother', gender: 'she', trait: 'kind' },
  { noun: 'grandfather', gender: 'he', trait: 'gentle' },
  { noun: 'farmer', trait: 'friendly' },
  { noun: 'clockmaker', trait: 'patient' },
  { noun: 'postman', gender: 'he', trait: 'cheerful' },
  { noun: 'elephant', trait: 'gentle' },
];

export const traits = words(
  'little young small kind curious brave shy cheerful clever quiet gentle playful friendly lively happy careful funny dreamy',
);

export const hobbies = [
  'loved to [sing|hum] songs',
  'liked to look at the stars',
  'loved to explore',
  'collected [smooth stones|shiny buttons|feathers|shells]',
  'liked to ask questions',
  'loved the smell of fresh bread',
  'liked to watch the clouds',
  'always helped the neighbors',
  'loved to tell jokes',
  'was never bored',
  'had a big heart',
  'liked nothing better than a good story',
  'knew every path around {a.his} home',
  'loved to paint pictures',
  'got up early every day',
];

export const colors = words('red blue green yellow white golden silver purple orange');

/** Things that can be carried, lost, hidden, given and found. */
export const things = [
  'kite',
  'ball',
  'scarf',
  'hat',
  'key',
  'lantern',
  'drum',
  'flute',
  'book',
  'bell',
  'cup',
  'boat',
  'button',
  'box',
  'ring',
  'blanket',
  'basket',
  'whistle',
  'feather',
  'map',
  'umbrella',
  'spoon',
  'coat',
  'bag',
  'shell',
  'clock',
  'teddy bear',
  'marble',
  'coin',
  'necklace',
] as const;

export const weathers = [
  'The sun was shining',
  'A soft wind was blowing',
  'The sky was blue and clear',
  'It was a warm day',
  'Small white clouds sailed over the hills',
  'The air smelled of [flowers|rain|pine trees]',
  'It was a cool and misty day',
  'The birds were singing',
  'The leaves were turning red and yellow',
  'Fresh snow lay on the roofs',
] as const;

export const foods = [
  'warm bread',
  'apple pie',
  'honey cakes',
  'berry jam',
  'hot soup',
  'pancakes',
  'nut cookies',
  'cheese and apples',
  'fresh waffles',
  'carrot cake',
  'sweet buns',
  'plum cake',
] as const;

export interface Place {
  readonly at: string;
  readonly to: string;
}

export const places: readonly Place[] = [
  { at: 'in the forest', to: 'into the forest' },
  { at: 'on the beach', to: 'down to the beach' },
  { at: 'in the meadow', to: 'out to the meadow' },
  { at: 'by the river', to: 'down to the river' },
  { at: 'at the market', to: 'to the market' },
  { at: 'in the park', to: 'to the park' },
  { at: 'on the hill', to: 'up the hill' },
  { at: 'near the old mill', to: 'to the old mill' },
  { at: 'by the lake', to: 'to the lake' },
  { at: 'in the valley', to: 'down into the valley' },
  { at: 'under the stone bridge', to: 'to the stone bridge' },
];

/** Where a lost thing lies, and how the finder sees it there. */
export const hidingPlaces = [
  'under a pile of leaves',
  'behind a big stone',
  'in the tall grass',
  'under an old bench',
  'between the roots of a tree',
  'in a bush full of berries',
  'at the bottom of a basket',
  'behind the door',
  'on the branch of a tree',
  'inside an old boot',
  'under a wooden bridge',
  'next to the well',
] as const;

function words(text: string): readonly string[] {
  return text.split(' ');
}

function animal(noun: string, home: string, gender?: Gender): Kind {
  return { noun, sort: 'animal', home, gender };
}

function list(sort: Kind['sort'], home: string, nouns: string, gender?: Gender): readonly Kind[] {
  return words(nouns).map((noun) => ({ noun, sort, home, gender }));
}

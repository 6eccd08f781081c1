// A team of 32 neighbouring threads handles a block of 32 values of one column; this many teams do so at once.
const BLOCKS_AT_ONCE = min(THREADS / 32u, 8u);

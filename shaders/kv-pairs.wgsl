// Rows of keys and values into a cache of floats, two elements at a time.

// A team of 32 neighbouring threads brings as many neighbouring elements of one or several heads; those with `live` have
// element `dim` of the row at `place`, and with it its neighbour, dim ^ 1.
fn keep_kv(place: u32, dim: u32, thread: u32, value: f32, neighbour: f32, live: bool) {
  if (live && dim % 2u == 0u) { // the even one of a pair writes both
    store_kv(place, dim, value, neighbour);
  }
}

// Columns of a pass that follow each other in one sequence.
//! include state-read

// Of the columns first + start .. first + count, the first one that does not go on from column first + start.
fn run_end(first: u32, start: u32, count: u32) -> u32 {
  let slot = slot_of(first + start);
  let position = position_of(first + start);
  let last = count - 1u;
  if (slot_of(first + last) == slot && position_of(first + last) - position == last - start) {
    return count;
  }
  var end = start + 1u;
  while (end < count && slot_of(first + end) == slot && position_of(first + end) - position == end - start) {
    end++;
  }
  return end;
}

// Which columns a product takes as input.
//! include state-read
//! param OUTPUTS bool

// Results that this pass is to make: one for every column, or with OUTPUTS one for every output.
fn wanted_results() -> u32 {
  return select(state.columns, state.outputs, OUTPUTS);
}

// The input column of a result.
fn input_of(result: u32) -> u32 {
  if (OUTPUTS) {
    return state.places[min(result, state.outputs - 1u)].output;
  }
  return result;
}

// Codes that need nothing prepared.
fn prepare_codes(thread: u32) {
}

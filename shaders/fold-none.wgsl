fn fold_added(group: u32, thread: u32) {
}

"""What a list looks like as a whole, after each item was scored by itself: pure functions over arrays of lists."""

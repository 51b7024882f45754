"""What work costs before it is done: operations, memory and time, from sizes alone."""

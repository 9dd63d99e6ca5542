"""The stream: the random number that belongs to element i of an array under a key."""

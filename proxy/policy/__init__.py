"""What to do, decided without doing it: pure functions over the model; `now` is an argument."""

"""Values and rules that several rooms share: pure, `now` is an argument."""

"""From data files to a task that can run: columns, classes, words and templates guessed."""

"""What a run leaves on disk as it goes, so that no paid answer is lost and it can go on."""

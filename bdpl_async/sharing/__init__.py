"""What processes on many machines share by way of a Redis: answers, and a budget."""

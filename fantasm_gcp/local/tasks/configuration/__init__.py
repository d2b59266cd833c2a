"""What queues and tasks say of their rates, retries, targets and tokens, checked and completed."""

"""The methods of the API: queues, tasks, batches, operations, locations."""

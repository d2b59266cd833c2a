"""The console: pages rendered on the server, with no asset from elsewhere."""

"""Other ways in which clients speak to the same queues: v2beta3, and firebase-admin."""

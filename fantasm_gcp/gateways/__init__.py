"""The only place that speaks to Google's clients: Cloud Tasks and Datastore, behind the engine's ports."""

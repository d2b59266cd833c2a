"""What `fantasm dev` and `fantasm emulator` run in one process: the two local servers and what is with them.

``servers`` opens the Datastore and Cloud Tasks servers on one directory as ``opening`` says, ``front`` is
what they answer over HTTP, ``configuration`` reads queue.yaml and index.yaml. For `fantasm dev` alone,
``routing`` says where a delivery goes, ``pages`` serves an application to people, ``ticker`` is its cron,
``gcloud`` runs Google's own Datastore emulator instead of ours, and ``demo`` says what a module must have to
be run by `fantasm dev --demo`.
"""

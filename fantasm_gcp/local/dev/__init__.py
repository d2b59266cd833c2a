"""What `fantasm dev` runs in one process: the two local servers, the dispatcher, and the pages.

``servers`` opens the Datastore and Cloud Tasks servers on one directory, ``routing`` says where a delivery
goes, ``pages`` serves an application to people, ``gcloud`` runs Google's own Datastore emulator instead of
ours, and ``demo`` says what a module must have to be run by `fantasm dev --demo`.
"""

#!/bin/sh
# Installs default on App Engine, in project acme-prod and region us-central1; made by `fantasm
# setup`. Running it again is harmless.
set -eu

there() { test -n "$("$@" 2>/dev/null)"; }

# The APIs of what is used, and no others
gcloud services enable appengine.googleapis.com cloudscheduler.googleapis.com \
    cloudtasks.googleapis.com datastore.googleapis.com firestore.googleapis.com \
    cloudbuild.googleapis.com iam.googleapis.com --project=acme-prod --quiet

# The App Engine application. Its region cannot be changed afterwards
there gcloud app describe '--format=value(id)' --project=acme-prod --quiet ||
  gcloud app create --region=us-central --project=acme-prod --quiet

# The database, in Datastore mode. Its location cannot be changed afterwards
there gcloud firestore databases describe --database=orders '--format=value(name)' \
    --project=acme-prod --quiet ||
  gcloud firestore databases create --database=orders --type=datastore-mode --edition=standard \
      --location=us-central1 --project=acme-prod --quiet

# The composite indexes of index.yaml; building them goes on afterwards
gcloud datastore indexes create index.yaml --database=orders --project=acme-prod --quiet

# Datastore deletes what is old of FantasmStep
there gcloud firestore fields ttls list --collection-group=FantasmStep --database=orders \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmStep --database=orders \
      --enable-ttl --async --project=acme-prod --quiet

# Datastore deletes what is old of FantasmLog
there gcloud firestore fields ttls list --collection-group=FantasmLog --database=orders \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmLog --database=orders \
      --enable-ttl --async --project=acme-prod --quiet

# Datastore deletes what is old of FantasmMemo
there gcloud firestore fields ttls list --collection-group=FantasmMemo --database=orders \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmMemo --database=orders \
      --enable-ttl --async --project=acme-prod --quiet

# Datastore deletes what is old of FantasmPayload
there gcloud firestore fields ttls list --collection-group=FantasmPayload --database=orders \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmPayload --database=orders \
      --enable-ttl --async --project=acme-prod --quiet

# The queue default
if there gcloud tasks queues describe default --location=us-central1 '--format=value(name)' \
    --project=acme-prod --quiet
then
  gcloud tasks queues update default --location=us-central1 --max-dispatches-per-second=0.166666667 \
      --max-concurrent-dispatches=1000 --max-attempts=4 --min-backoff=0.1s --max-backoff=3600s \
      --max-doublings=16 --project=acme-prod --quiet
else
  gcloud tasks queues create default --location=us-central1 --max-dispatches-per-second=0.166666667 \
      --max-concurrent-dispatches=1000 --max-attempts=4 --min-backoff=0.1s --max-backoff=3600s \
      --max-doublings=16 --project=acme-prod --quiet
fi

# The queue orders: how often a step is tried, its machine says; the rate is Cloud Tasks' own
if there gcloud tasks queues describe orders --location=us-central1 '--format=value(name)' \
    --project=acme-prod --quiet
then
  gcloud tasks queues update orders --location=us-central1 --max-attempts=-1 --project=acme-prod \
      --quiet
else
  gcloud tasks queues create orders --location=us-central1 --max-attempts=-1 --project=acme-prod \
      --quiet
fi

# The application creates tasks
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:acme-prod@appspot.gserviceaccount.com --role=roles/cloudtasks.enqueuer \
    --condition=None --quiet

# The application looks at tasks and queues, for the sweeper
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:acme-prod@appspot.gserviceaccount.com --role=roles/cloudtasks.viewer \
    --condition=None --quiet

# The application deletes the tasks of what is cancelled
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:acme-prod@appspot.gserviceaccount.com --role=roles/cloudtasks.taskDeleter \
    --condition=None --quiet

# The application reads and writes rows
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:acme-prod@appspot.gserviceaccount.com --role=roles/datastore.user \
    --condition=None --quiet

# The application, and what calls its sweeper and its scrubber
gcloud app deploy app.yaml cron.yaml --project=acme-prod --quiet

#!/bin/sh
# Installs shop on Cloud Run, in project acme-prod and region europe-west6; made by `fantasm setup`.
# Running it again is harmless.
set -eu

there() { test -n "$("$@" 2>/dev/null)"; }
PROJECT_NUMBER=$(gcloud projects describe acme-prod '--format=value(projectNumber)' --quiet)
test -n "$PROJECT_NUMBER"

# The APIs of what is used, and no others
gcloud services enable run.googleapis.com artifactregistry.googleapis.com \
    cloudscheduler.googleapis.com cloudtasks.googleapis.com datastore.googleapis.com \
    firestore.googleapis.com cloudbuild.googleapis.com iam.googleapis.com --project=acme-prod --quiet

# The account fantasm-run: what the application runs as
there gcloud iam service-accounts describe fantasm-run@acme-prod.iam.gserviceaccount.com \
    '--format=value(email)' --project=acme-prod --quiet ||
  gcloud iam service-accounts create fantasm-run \
      '--display-name=fantasm: what the application runs as' --project=acme-prod --quiet

# The account fantasm-tasks: whose tokens tasks bring along
there gcloud iam service-accounts describe fantasm-tasks@acme-prod.iam.gserviceaccount.com \
    '--format=value(email)' --project=acme-prod --quiet ||
  gcloud iam service-accounts create fantasm-tasks \
      '--display-name=fantasm: whose tokens tasks bring along' --project=acme-prod --quiet

# The account fantasm-scheduler: whose tokens Cloud Scheduler's requests bring along
there gcloud iam service-accounts describe fantasm-scheduler@acme-prod.iam.gserviceaccount.com \
    '--format=value(email)' --project=acme-prod --quiet ||
  gcloud iam service-accounts create fantasm-scheduler \
      '--display-name=fantasm: whose tokens Cloud Scheduler'"'"'s requests bring along' \
      --project=acme-prod --quiet

# The account fantasm-build: what Cloud Build makes the container as
there gcloud iam service-accounts describe fantasm-build@acme-prod.iam.gserviceaccount.com \
    '--format=value(email)' --project=acme-prod --quiet ||
  gcloud iam service-accounts create fantasm-build \
      '--display-name=fantasm: what Cloud Build makes the container as' --project=acme-prod --quiet

# The database, in Datastore mode. Its location cannot be changed afterwards
there gcloud firestore databases describe '--database=(default)' '--format=value(name)' \
    --project=acme-prod --quiet ||
  gcloud firestore databases create '--database=(default)' --type=datastore-mode --edition=standard \
      --location=europe-west6 --project=acme-prod --quiet

# The composite indexes of index.yaml; building them goes on afterwards
gcloud datastore indexes create index.yaml '--database=(default)' --project=acme-prod --quiet

# Datastore deletes what is old of FantasmStep
there gcloud firestore fields ttls list --collection-group=FantasmStep '--database=(default)' \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmStep '--database=(default)' \
      --enable-ttl --async --project=acme-prod --quiet

# Datastore deletes what is old of FantasmLog
there gcloud firestore fields ttls list --collection-group=FantasmLog '--database=(default)' \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmLog '--database=(default)' \
      --enable-ttl --async --project=acme-prod --quiet

# Datastore deletes what is old of FantasmMemo
there gcloud firestore fields ttls list --collection-group=FantasmMemo '--database=(default)' \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmMemo '--database=(default)' \
      --enable-ttl --async --project=acme-prod --quiet

# Datastore deletes what is old of FantasmPayload
there gcloud firestore fields ttls list --collection-group=FantasmPayload '--database=(default)' \
    --filter=name:expires '--format=value(name)' --project=acme-prod --quiet ||
  gcloud firestore fields ttls update expires --collection-group=FantasmPayload \
      '--database=(default)' --enable-ttl --async --project=acme-prod --quiet

# The queue default
if there gcloud tasks queues describe default --location=europe-west6 '--format=value(name)' \
    --project=acme-prod --quiet
then
  gcloud tasks queues update default --location=europe-west6 --max-dispatches-per-second=0.166666667 \
      --max-concurrent-dispatches=1000 --max-attempts=4 --min-backoff=0.1s --max-backoff=3600s \
      --max-doublings=16 --project=acme-prod --quiet
else
  gcloud tasks queues create default --location=europe-west6 --max-dispatches-per-second=0.166666667 \
      --max-concurrent-dispatches=1000 --max-attempts=4 --min-backoff=0.1s --max-backoff=3600s \
      --max-doublings=16 --project=acme-prod --quiet
fi

# The queue orders: how often a step is tried, its machine says; the rate is Cloud Tasks' own
if there gcloud tasks queues describe orders --location=europe-west6 '--format=value(name)' \
    --project=acme-prod --quiet
then
  gcloud tasks queues update orders --location=europe-west6 --max-attempts=-1 --project=acme-prod \
      --quiet
else
  gcloud tasks queues create orders --location=europe-west6 --max-attempts=-1 --project=acme-prod \
      --quiet
fi

# The application creates tasks
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:fantasm-run@acme-prod.iam.gserviceaccount.com \
    --role=roles/cloudtasks.enqueuer --condition=None --quiet

# The application looks at tasks and queues, for the sweeper
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:fantasm-run@acme-prod.iam.gserviceaccount.com \
    --role=roles/cloudtasks.viewer --condition=None --quiet

# The application deletes the tasks of what is cancelled
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:fantasm-run@acme-prod.iam.gserviceaccount.com \
    --role=roles/cloudtasks.taskDeleter --condition=None --quiet

# The application reads and writes rows
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:fantasm-run@acme-prod.iam.gserviceaccount.com --role=roles/datastore.user \
    --condition=None --quiet

# Cloud Build makes the container as this account
gcloud projects add-iam-policy-binding acme-prod \
    --member=serviceAccount:fantasm-build@acme-prod.iam.gserviceaccount.com --role=roles/run.builder \
    --condition=None --quiet

# fantasm-run@acme-prod.iam.gserviceaccount.com creates tasks that bring this account's tokens along
gcloud iam service-accounts add-iam-policy-binding fantasm-tasks@acme-prod.iam.gserviceaccount.com \
    --member=serviceAccount:fantasm-run@acme-prod.iam.gserviceaccount.com \
    --role=roles/iam.serviceAccountUser --condition=None --project=acme-prod --quiet

# The service. It verifies every token itself
gcloud run deploy shop --source=. --region=europe-west6 \
    --service-account=fantasm-run@acme-prod.iam.gserviceaccount.com \
    --build-service-account=projects/acme-prod/serviceAccounts/fantasm-build@acme-prod.iam.gserviceaccount.com \
    --remove-env-vars=FANTASM_VERIFIED_BY --timeout=1800 --concurrency=8 \
    '--update-env-vars=^;^FANTASM_OPERATORS=ada@example.com,*@example.org;FANTASM_SCHEDULER_ACCOUNT=fantasm-scheduler@acme-prod.iam.gserviceaccount.com;FANTASM_SERVICE_ACCOUNT=fantasm-tasks@acme-prod.iam.gserviceaccount.com' \
    --project=acme-prod --quiet

# This version gets all requests, before they are everybody's: an older one may believe what they say
gcloud run services update-traffic shop --region=europe-west6 --to-latest --project=acme-prod --quiet

# Requests of everybody come to the application
gcloud run services add-iam-policy-binding shop --region=europe-west6 --member=allUsers \
    --role=roles/run.invoker --condition=None --project=acme-prod --quiet

# every 1 minutes: Finds what is overdue
if there gcloud scheduler jobs describe shop-sweep --location=europe-west6 '--format=value(name)' \
    --project=acme-prod --quiet
then
  gcloud scheduler jobs update http shop-sweep --location=europe-west6 '--schedule=every 1 minutes' \
      --time-zone=Etc/UTC --uri=https://shop-"$PROJECT_NUMBER".europe-west6.run.app/fantasm/sweep \
      --http-method=post \
      --oidc-service-account-email=fantasm-scheduler@acme-prod.iam.gserviceaccount.com \
      --oidc-token-audience=https://shop-"$PROJECT_NUMBER".europe-west6.run.app \
      '--description=Finds what is overdue' --project=acme-prod --quiet
else
  gcloud scheduler jobs create http shop-sweep --location=europe-west6 '--schedule=every 1 minutes' \
      --time-zone=Etc/UTC --uri=https://shop-"$PROJECT_NUMBER".europe-west6.run.app/fantasm/sweep \
      --http-method=post \
      --oidc-service-account-email=fantasm-scheduler@acme-prod.iam.gserviceaccount.com \
      --oidc-token-audience=https://shop-"$PROJECT_NUMBER".europe-west6.run.app \
      '--description=Finds what is overdue' --project=acme-prod --quiet
fi

# every day 03:00: Deletes what is old
if there gcloud scheduler jobs describe shop-fsm-FantasmScrubber --location=europe-west6 \
    '--format=value(name)' --project=acme-prod --quiet
then
  gcloud scheduler jobs update http shop-fsm-FantasmScrubber --location=europe-west6 \
      '--schedule=every day 03:00' --time-zone=Europe/Zurich \
      --uri=https://shop-"$PROJECT_NUMBER"'.europe-west6.run.app/fantasm/fsm/FantasmScrubber/?age=90' \
      --http-method=post \
      --oidc-service-account-email=fantasm-scheduler@acme-prod.iam.gserviceaccount.com \
      --oidc-token-audience=https://shop-"$PROJECT_NUMBER".europe-west6.run.app \
      '--description=Deletes what is old' --max-retry-attempts=5 --min-backoff=60s \
      --project=acme-prod --quiet
else
  gcloud scheduler jobs create http shop-fsm-FantasmScrubber --location=europe-west6 \
      '--schedule=every day 03:00' --time-zone=Europe/Zurich \
      --uri=https://shop-"$PROJECT_NUMBER"'.europe-west6.run.app/fantasm/fsm/FantasmScrubber/?age=90' \
      --http-method=post \
      --oidc-service-account-email=fantasm-scheduler@acme-prod.iam.gserviceaccount.com \
      --oidc-token-audience=https://shop-"$PROJECT_NUMBER".europe-west6.run.app \
      '--description=Deletes what is old' --max-retry-attempts=5 --min-backoff=60s \
      --project=acme-prod --quiet
fi

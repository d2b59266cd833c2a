# The sample application on Cloud Run, or wherever containers run. docs/deploy-cloud-run.md goes through it.
FROM python:3.12-slim

# Lines of the log leave at once. PORT is for a run by hand: Cloud Run sets its own.
ENV PYTHONUNBUFFERED=1 PORT=8080

# What an intruder could do in here is what this account may: read these files. It owns none of them.
RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 app

WORKDIR /app

# First, because they seldom change: this layer is then taken from the cache. pip compiles what it installs.
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore -r requirements.txt

COPY . .
# Without .pyc files every start compiles everything again, because their place cannot be written to; by their
# contents, because builders may change the times of files.
RUN python -m compileall -q --invalidation-mode unchecked-hash .

USER 10001

# exec: gunicorn gets SIGTERM itself. One worker for each vCPU: set WEB_CONCURRENCY=2 with --cpu=2. Threads are
# as many as the service's --concurrency.
# --timeout 0: it is no limit of a request. A gthread worker's main loop says that it is alive; one whose
#   processor Cloud Run took away between requests has not said so for a while and would be killed for it.
# --graceful-timeout 9: Cloud Run gives ten seconds after SIGTERM. A step that takes longer is delivered again.
CMD ["sh", "-c", "exec gunicorn --bind :$PORT --worker-class gthread --threads 16 --timeout 0 --graceful-timeout 9 --no-control-socket main:app"]

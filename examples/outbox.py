"""A page of the sample application: the emails that a campaign sent, as entities of an outbox."""

from flask import Blueprint, abort, redirect, render_template_string, url_for
from flask.typing import ResponseReturnValue
from google.cloud import datastore

from fantasm_gcp import current_fantasm

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Outbox</title>
<style>
  :root { color-scheme: light dark; font-family: system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8885; }
</style>
<h1>Outbox</h1>
<p>{{ total }} emails were sent; these are {{ emails|length }} of them.
   The campaigns are in the <a href="{{ url_for('fantasm.console_home') }}">console</a>.</p>
<table>
  <thead><tr><th>To</th><th>Subject</th><th>Sent (UTC)</th></tr></thead>
  <tbody>
  {% for each in emails %}
    <tr><td>{{ each['to'] }}</td><td>{{ each['subject'] }}</td>
        <td>{{ each['sent'].strftime('%Y-%m-%d %H:%M:%S') }}</td></tr>
  {% endfor %}
  </tbody>
</table>
</html>
"""

pages = Blueprint("outbox", __name__)


@pages.get("/")
def home() -> ResponseReturnValue:
    """Leads to the console."""
    return redirect(url_for("fantasm.console_home"))


@pages.get("/outbox")
def outbox() -> str:
    """The latest hundred emails. Only in local mode: addresses are nobody else's business."""
    fantasm = current_fantasm()
    if not fantasm.settings.is_local:
        abort(403)
    client: datastore.Client = fantasm.services.store.client()
    emails = client.query(kind="OutboxEmail", order=["-sent"])
    total = client.aggregation_query(client.query(kind="OutboxEmail")).count().fetch()
    return render_template_string(
        PAGE, emails=list(emails.fetch(limit=100)), total=next(iter(total))[0].value
    )

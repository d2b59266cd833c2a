"""The sample application: what App Engine or gunicorn imports as ``main:app``."""

import os

from flask import Flask

from examples.outbox import pages
from fantasm_gcp import Fantasm, Settings

app = Flask(__name__)
fantasm = Fantasm(app, Settings.from_environ(os.environ))
app.register_blueprint(pages)

"""Every path, under one blueprint."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter

from fantasm_gcp.console.views import add_pages
from fantasm_gcp.core.callback import INSTANCE_HEADER, STEP_HEADER
from fantasm_gcp.core.carried import GUARANTEE_HEADER
from fantasm_gcp.core.definition import AT_LEAST_ONCE
from fantasm_gcp.core.names import TASK_NAME_LIMIT
from fantasm_gcp.diagram import render_dot, render_mermaid, render_svg
from fantasm_gcp.engine.carrying import deliver_carried
from fantasm_gcp.engine.delivery import Answer
from fantasm_gcp.engine.runner import deliver
from fantasm_gcp.engine.start import start
from fantasm_gcp.web import api, commands, failures, machines
from fantasm_gcp.web.arguments import read_start
from fantasm_gcp.web.confirming import confirmation_page, started_page, wants_confirmation, wants_page
from fantasm_gcp.web.current import current_fantasm
from fantasm_gcp.web.deliveries import STEP_ENDPOINT, answer_again, read_carried, read_delivery
from fantasm_gcp.web.immediate import run_immediately
from fantasm_gcp.web.responses import as_json, register_error_answers
from fantasm_gcp.web.start_tokens import read_granted
from fantasm_gcp.web.sweeping import sweep_overdue

BOTH = ["GET", "POST"]


def blueprint(root: str) -> Blueprint:
    """A blueprint with every path under ``root``, guarded; made anew for each application."""
    made = Blueprint("fantasm", "fantasm_gcp.console", url_prefix=root, static_folder="static")
    made.before_request(_guard)
    made.after_request(answer_again)
    register_error_answers(made)
    made.add_url_rule("/fsm/<machine>/", "start", start_machine, methods=BOTH, strict_slashes=False)
    made.add_url_rule("/fsm/<machine>/<state>/<event>/<target>/", STEP_ENDPOINT, deliver_step, methods=BOTH)
    for path, view in (
        ("/api/machines", machines.machines),
        ("/api/instances", api.instances),
        ("/api/instances/<name>", api.instance),
        ("/api/instances/<name>/children", api.children),
        ("/api/instances/<name>/logs", api.logs),
        ("/api/instances/<name>/steps/<step_name>", api.step),
        ("/api/failures", failures.failures),
        ("/api/failures/steps", failures.failed_steps),
        ("/api/holds", machines.holds),
    ):
        made.add_url_rule(path, f"api_{view.__name__}", as_json(view))
    for path, command in (
        ("/api/instances/<name>/cancel", commands.cancel),
        ("/api/instances/<name>/pause", commands.pause),
        ("/api/instances/<name>/resume", commands.resume),
        ("/api/instances/<name>/redrive", commands.redrive_instance),
        ("/api/instances/<name>/steps/<step_name>/redrive", commands.redrive_step),
        ("/api/redrive", commands.redrive_matching),
        ("/api/holds", commands.hold),
        ("/api/holds/release", commands.release),
    ):
        made.add_url_rule(path, f"api_{command.__name__}", as_json(command), methods=["POST"])
    made.add_url_rule("/sweep", "sweep", as_json(sweep_overdue), methods=BOTH)
    made.add_url_rule("/graphviz/<machine>/", "graphviz", graph, strict_slashes=False)
    made.add_url_rule("/graph/<machine>", "graph", graph, strict_slashes=False)
    add_pages(made, current_fantasm)
    others = ["PUT", "PATCH", "DELETE"]
    made.add_url_rule("/<path:unknown>", "unknown", unknown_path, methods=[*BOTH, *others])
    made.add_url_rule("/", "unknown", unknown_path, methods=["POST", *others], defaults={"unknown": ""})
    return made


def _guard() -> None:
    current_fantasm().guard.admit(request)


def start_machine(machine: str) -> ResponseReturnValue:
    """Starts a machine and answers the instance's id and where its status is."""
    if request.method not in BOTH:
        raise MethodNotAllowed(BOTH)  # Flask takes HEAD for GET, and looking must not start anything
    served, grant = current_fantasm(), g.fantasm_grant
    services = served.services
    services.definitions.machine(machine)
    granted = None if grant is None else read_granted(request, machine, grant)
    if wants_confirmation(request, g.fantasm_caller):
        return confirmation_page(served, request, grant)
    asked = granted or read_start(request)
    try:
        if asked.immediate:
            answer, status = run_immediately(services, machine, asked)
            return Response(json.dumps(answer), status, mimetype="application/json")
        started = start(
            services,
            machine,
            asked.context,
            method=asked.method,
            key=asked.key,
            headers=asked.headers,
            ends=asked.ends,
        )
    except TypeError as error:
        raise BadRequest(str(error)) from error
    name = started.instance
    answer = {"instance": name, "machine": machine, "created": started.created}
    if services.definitions.machine(machine).guarantee != AT_LEAST_ONCE:  # which keeps nothing to look at
        answer["status_url"] = url_for("fantasm.api_instance", name=name)
        answer["console_url"] = url_for("fantasm.console_instance", name=name)
    if wants_page(request):
        return started_page(served, request, g.fantasm_caller, answer)
    return jsonify(answer)


def deliver_step(machine: str, state: str, event: str, target: str) -> ResponseReturnValue:
    """Takes a delivery of a step; the path is for people, the headers say which step it is."""
    services = current_fantasm().services
    step, instance = request.headers.get(STEP_HEADER), request.headers.get(INSTANCE_HEADER)
    if not step or not instance or max(len(step), len(instance)) > TASK_NAME_LIMIT:
        raise BadRequest(
            f"{machine}/{state}/{event}/{target} is a step, which Cloud Tasks calls; "
            f"people start {services.root}/fsm/{machine}/"
        )
    settings = current_fantasm().settings
    if request.headers.get(GUARANTEE_HEADER) == AT_LEAST_ONCE:
        place = (machine, state, event, target)
        task, attempt = read_carried(instance, place, request, settings, services.clock())
        return _answer(deliver_carried(services, task, attempt), step)
    return _answer(deliver(services, read_delivery(step, instance, request, settings)), step)


def _answer(answer: Answer, step: str) -> ResponseReturnValue:
    body = {"verdict": answer.verdict, "step": step, "message": answer.message}
    return jsonify(body), {"retry": 500, "refused": 400}.get(answer.verdict, 200)


def graph(machine: str) -> ResponseReturnValue:
    """A machine as SVG, or as text for other tools: ``?format=dot`` or ``?format=mermaid``."""
    found = current_fantasm().definitions.machine(machine)
    texts: dict[str, Any] = {"dot": render_dot, "mermaid": render_mermaid}
    form = request.args.get("format", "svg")
    if form == "svg":
        return Response(render_svg(found), mimetype="image/svg+xml")
    if form not in texts:
        raise BadRequest(f"format {form!r} is not one of svg, dot, mermaid")
    return Response(texts[form](found), mimetype="text/plain")


def _is_known(paths: MapAdapter, method: str) -> bool:
    endpoint, _ = paths.match(request.path, method)
    return bool(endpoint != "fantasm.unknown")


def unknown_path(unknown: str) -> ResponseReturnValue:
    """Answers 405 where another method would find something, and 404 elsewhere."""
    paths = current_app.url_map.bind("localhost")
    allowed = [method for method in BOTH if paths.test(request.path, method) and _is_known(paths, method)]
    if allowed:
        raise MethodNotAllowed(allowed)
    root = current_fantasm().services.root
    raise NotFound(f"there is nothing at {root}/{unknown}; the console is at {root}/")

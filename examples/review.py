"""A machine that chooses its way by an argument of its start."""

from fantasm_gcp import Context, FSMAction, StepObject


class InitialState(FSMAction):
    """Takes ``ok`` for ``arg1=something`` and ``review`` for everything else."""

    def execute(self, context: Context, obj: StepObject) -> str:
        return "ok" if context.get("arg1") == "something" else "review"


class ReviewAndRecoverState(FSMAction):
    """Notes that somebody should look, and stops."""

    def execute(self, context: Context, obj: StepObject) -> None:
        context["reviewed"] = True


class FinalState(FSMAction):
    """Nothing is left to do."""

    def execute(self, context: Context, obj: StepObject) -> None:
        context["finished"] = True

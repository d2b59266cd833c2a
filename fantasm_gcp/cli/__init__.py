"""The command `fantasm`: ``main`` finds a verb, and each verb is a module that is imported when it runs.

Exit statuses: 0 is well, 1 is "it ran and something is not well" (warnings, a failed instance), 2 is "it
could not run": wrong usage, a definition with errors, a server that is not there.
"""

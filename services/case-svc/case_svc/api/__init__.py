"""Routes, one line of work each, in URL order."""

from case_svc.api import cases, export, needs, people, persons, plan, seals, tasks, types, work

ROUTERS = [
    persons.router,
    types.router,
    # before the case of any id
    export.router,
    cases.router,
    seals.router,
    people.router,
    needs.router,
    plan.router,
    work.router,
    tasks.router,
]

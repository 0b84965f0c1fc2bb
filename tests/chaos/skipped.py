"""Faults of the plan that are not injected here, each with its reason."""

import shutil

SKIPPED = {
    "disk full": "needs a file system of its own for PostgreSQL, which takes mount rights",
    "netem, own DNS server": "need a network namespace; a name that does not exist is injected,"
    " rebinding and literal addresses are in tests/unit/notify_svc/test_guard.py",
    "memory and file caps": "need a cgroup of their own",
    "rolling upgrade": "needs a second release; schema checks are in tests/unit/careloop",
}
if shutil.which("faketime") is None:
    SKIPPED["libfaketime"] = (
        "not installed; clocks are set wrong at svckit.clock, the only place that reads one"
        " (fault `skew`), and every lease and due time is the database's"
    )

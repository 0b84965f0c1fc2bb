"""What can go wrong for an operator.

CareloopFailure
├── PostgresFailure   no usable PostgreSQL, or it did not start
├── AlreadyRunning    another supervisor holds the data directory
├── NotRunning        nothing to stop or to talk to
├── StartFailure      a service did not migrate or did not become ready
├── SeedFailure       the gateway refused part of the seed network
├── Refused           the gateway, or a file, says no
└── StepFailed        a step of the demonstration did not hold
"""


class CareloopFailure(Exception):
    """Shown to the operator as one sentence, without a traceback."""


class PostgresFailure(CareloopFailure):
    pass


class AlreadyRunning(CareloopFailure):
    pass


class NotRunning(CareloopFailure):
    pass


class StartFailure(CareloopFailure):
    pass


class SeedFailure(CareloopFailure):
    pass


class StepFailed(CareloopFailure):
    pass


class LedgerBroken(CareloopFailure):
    pass


class Refused(CareloopFailure):
    pass

"""The order of the play: who does what."""

from collections.abc import Callable

from careloop.demo.journey import Journey

Step = tuple[str, str, Callable[[Journey], None]]
STEPS: tuple[Step, ...] = (
    ("everybody", "gets a token with a key of its own", Journey.get_tokens),
    ("partners", "register webhook endpoints", Journey.register_webhooks),
    ("clinic", "registers a person", Journey.register_person),
    ("clinic", "opens a case", Journey.open_case),
    ("clinic", "screens for needs", Journey.screen),
    ("clinic", "writes notes", Journey.write_notes),
    ("clinic", "records what the person permits", Journey.record_consents),
    ("clinic", "sets a goal with her", Journey.set_goal),
    ("clinic", "searches the directory", Journey.search_directory),
    ("clinic", "refers to the food bank", Journey.refer),
    ("food bank", "is told by signed webhook", Journey.be_told),
    ("food bank", "accepts and starts", Journey.accept),
    ("food bank", "reads what it needs to help", Journey.read_as_service),
    ("both", "write messages", Journey.talk),
    ("clinic", "shares a document", Journey.share_document),
    ("food bank", "closes the loop with an outcome", Journey.complete),
    ("clinic", "sees the need met", Journey.see_need_met),
    ("clinic", "closes the case", Journey.close_case),
    ("payer", "sees the outcome and nothing more", Journey.read_as_payer),
    ("everybody else", "is refused", Journey.refuse),
    ("receiver", "verified every delivery", Journey.verify_deliveries),
)

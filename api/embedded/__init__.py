"""The whole service on this machine: PostgreSQL, Valkey and SeaweedFS from wheels, then the parts.

Loopback only, no container, no root needed; what it keeps lies in `settings().data_dir`. Any engine
whose setting points elsewhere is left out, so this is the same code on a laptop and on a host with
its own database.
"""

from api.embedded.engines import Engine, Engines
from api.embedded.migration import migrate, use
from api.embedded.parts import Answers, Part, Says, service_parts
from api.embedded.supervisor import Supervisor, up

__all__ = [
    "Answers",
    "Engine",
    "Engines",
    "Part",
    "Says",
    "Supervisor",
    "migrate",
    "service_parts",
    "up",
    "use",
]

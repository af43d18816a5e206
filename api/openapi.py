"""`python -m api.openapi` prints the OpenAPI document, of which the portal's client is made."""

import json
import sys

from api.app import create_app


def document() -> str:
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(document() + "\n")

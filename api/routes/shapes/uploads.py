"""Files that come in parts."""

from typing import Literal

from api.routes.shapes import Shape
from api.routes.shapes.files import File
from api.uploads import Status


class UploadPart(Shape):
    """OpenAI's part, and what arrived; `number` is null where the client sent none."""

    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str
    number: int | None
    bytes: int
    sha256: str


class Upload(Shape):
    """OpenAI's upload. `file` is null until it is completed, and once the file is deleted."""

    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    mime_type: str
    status: Status
    file: File | None


class ReceivedUpload(Upload):
    """An upload and what has arrived of it."""

    received_bytes: int
    parts: list[UploadPart]

"""A multipart form read as it arrives: small fields by name, and one file's bytes as they come."""

from email.message import Message

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from api import storage
from api.errors import BadRequest, TooLarge

FIELD_BYTES_MAX = 64 * 1024
FIELDS_MAX = 32
FLUSH_BYTES = 1 << 20
FORM_BYTES = 1 << 20
"""What a form may weigh beside its file."""


class Form:
    """Feed it the body, `take` the file's bytes out. `complete` once the form's end has come."""

    def __init__(self, content_type: str, *, file: str = "file") -> None:
        header = Message()
        header["content-type"] = content_type
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise BadRequest(
                f"Send a multipart/form-data body whose file is the part `{file}`.",
                code="not_multipart",
            )
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._file_name = file
        self.complete = False
        self._file = bytearray()
        self._name = ""
        self._value = bytearray()
        self._in_file = False
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = ""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BadRequest(
                f"The multipart body is malformed: {error}.", code="bad_multipart"
            ) from error

    def take(self) -> bytes:
        """The file's bytes that came since the last call."""
        taken = bytes(self._file)
        self._file.clear()
        return taken

    @property
    def pending(self) -> int:
        return len(self._file)

    def _begin(self) -> None:
        self._disposition, self._name, self._in_file = "", "", False
        self._value.clear()

    def _header_end(self) -> None:
        if bytes(self._header[0]).lower() == b"content-disposition":
            self._disposition = self._header[1].decode("utf-8", "replace")
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        header = Message()
        header["content-disposition"] = self._disposition
        name = header.get_param("name", header="content-disposition")
        self._name = name if isinstance(name, str) else ""
        filename = header.get_filename()
        if self._name == self._file_name:
            if self.filename is not None:
                raise BadRequest("One file a request, please.", param=self._file_name)
            self.filename = filename or "upload"
            self._in_file = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file += data[start:end]
            return
        self._value += data[start:end]
        if len(self._value) > FIELD_BYTES_MAX or len(self.fields) >= FIELDS_MAX:
            raise BadRequest(f"The form field {self._name!r} is too large.", param=self._name)

    def _end(self) -> None:
        if not self._in_file:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.complete = True


async def receive(
    request: Request, form: Form, sink: storage.Upload, *, bytes_max: int, refusal: TooLarge
) -> None:
    """Read the whole body, some MiB of it at a time in memory. Raises `refusal`, BadRequest."""
    total = 0
    too_large = False
    try:
        async for chunk in request.stream():
            total += len(chunk)
            # What is over the limit is still read, and thrown away: a client that is cut off while
            # it sends sees a broken pipe instead of the reason.
            too_large = too_large or total > bytes_max + FORM_BYTES
            if too_large:
                continue
            form.feed(chunk)
            if form.pending >= FLUSH_BYTES:
                await run_in_threadpool(sink.write, form.take())
                too_large = sink.size > bytes_max
    except ClientDisconnect as error:
        raise BadRequest("The upload was cut off. Send it again.", code="upload_cut_off") from error
    if form.pending and not too_large:
        await run_in_threadpool(sink.write, form.take())
    if too_large or sink.size > bytes_max:
        raise refusal
    if not form.complete:
        raise BadRequest(
            "The upload was cut off: the form's closing boundary never came. Send it again.",
            code="upload_cut_off",
        )

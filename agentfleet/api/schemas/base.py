"""What all documents have in common, and the document of a problem."""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Id = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="A UUIDv7.")]
Dollars = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$", description="US dollars, as a decimal text.")]
Error = Annotated[dict[str, Any], Field(description="`class` says what went wrong, `message` in words.")]


class Document(BaseModel):
    """Has the members that are listed, and no others."""

    model_config = ConfigDict(extra="forbid", strict=False)


class Page(Document, Generic[Item]):
    """One page of a list."""

    data: list[Item]
    next_cursor: str | None = Field(description="Ask again with `cursor=` this; none: there is no more.")


class Fault(Document):
    """One place that is wrong."""

    pointer: str | None = Field(None, description="JSON pointer into the body.")
    parameter: str | None = Field(None, description="Name of a query parameter or header.")
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` never changes its meaning; some problems carry more members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[Fault] = Field(default_factory=list[Fault])

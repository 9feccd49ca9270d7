"""What the audit may look at: the real metadata of the distributions that are installed where the worker runs.

Compiled files come and go with every start of Python, so they count neither as files nor as bytes.
"""

from importlib.metadata import Distribution, PackageMetadata, PackageNotFoundError, PackagePath
from importlib.metadata import distribution as find
from pathlib import Path
from typing import TypedDict

from packaging.requirements import Requirement

from agentfleet import tool

SAMPLE = 10
SHORT = 80  # characters; a longer License field is the licence's text, not its name
LICENSE_FILES = ("LICENSE", "LICENCE", "COPYING", "UNLICENSE")


class Metadata(TypedDict):
    name: str
    version: str
    summary: str | None
    homepage: str | None


class Files(TypedDict):
    count: int
    sample: list[str]


class Requirements(TypedDict):
    requirements: list[str]
    missing: list[str]


class License(TypedDict):
    license: str | None
    source: str


class Size(TypedDict):
    bytes: int


@tool(effect="read")
def read_metadata(distribution: str) -> Metadata:
    """Name, version and purpose of an installed distribution."""
    metadata = find(distribution).metadata
    return {
        "name": metadata["Name"],
        "version": metadata["Version"],
        "summary": _field(metadata, "Summary"),
        "homepage": _field(metadata, "Home-page"),
    }


@tool(effect="read")
def list_files(distribution: str) -> Files:
    """How many files an installed distribution has, and the first few of them."""
    names = [str(file) for file in _files(find(distribution))]
    return {"count": len(names), "sample": names[:SAMPLE]}


@tool(effect="read")
def declared_requirements(distribution: str) -> Requirements:
    """What an installed distribution needs on this machine (extras left out), and what of that is not installed."""
    needed = [requirement for text in find(distribution).requires or () if (requirement := _applies(text))]
    return {
        "requirements": [str(requirement) for requirement in needed],
        "missing": [requirement.name for requirement in needed if not _installed(requirement.name)],
    }


@tool(effect="read")
def find_license(distribution: str) -> License:
    """The licence of an installed distribution and where it says so; none when it does not say."""
    found = find(distribution)
    metadata = found.metadata
    if expression := _field(metadata, "License-Expression"):
        return {"license": expression, "source": "License-Expression"}
    for classifier in metadata.get_all("Classifier") or ():
        kind, *_, name = classifier.split(" :: ")
        if kind == "License" and name != "OSI Approved":
            return {"license": name, "source": "Classifier"}
    text = (_field(metadata, "License") or "").strip()
    if text and text != "UNKNOWN" and len(text.splitlines()[0]) <= SHORT:
        return {"license": text.splitlines()[0], "source": "License"}
    for file in _files(found):
        if file.name.upper().startswith(LICENSE_FILES) and (line := _first_line(_path(file))):
            return {"license": line, "source": str(file)}
    return {"license": None, "source": "nowhere"}


@tool(effect="read")
def total_size(distribution: str) -> Size:
    """The bytes that the files of an installed distribution take on disk."""
    paths = [_path(file) for file in _files(find(distribution))]
    return {"bytes": sum(path.stat().st_size for path in paths if path.is_file())}


def _field(metadata: PackageMetadata, name: str) -> str | None:
    return next(iter(metadata.get_all(name) or ()), None)


def _files(found: Distribution) -> list[PackagePath]:
    return [file for file in found.files or () if file.suffix != ".pyc"]


def _path(file: PackagePath) -> Path:
    return Path(str(file.locate()))


def _first_line(path: Path) -> str | None:
    if not path.is_file():
        return None
    lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
    return next((line[:SHORT] for line in lines if line), None)


def _applies(text: str) -> Requirement | None:
    requirement = Requirement(text)
    return requirement if requirement.marker is None or requirement.marker.evaluate({"extra": ""}) else None


def _installed(name: str) -> bool:
    try:
        find(name)
    except PackageNotFoundError:
        return False
    return True

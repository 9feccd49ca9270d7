"""Why a value is not valid, in words that a model or a caller can act on."""

from pydantic import ValidationError

MAX_PROBLEMS = 10
"""More than this many are noise: the first ones usually cause the rest."""


def compact(error: ValidationError) -> str:
    """``path: what is wrong`` for each problem, separated by ``; ``. Never echoes more than a hint of the value."""
    problems = error.errors(include_url=False, include_context=False)
    lines = [
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}" for problem in problems[:MAX_PROBLEMS]
    ]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"and {len(problems) - MAX_PROBLEMS} more")
    return "; ".join(lines)

"""A frozen dataclass that is cheap to define: its methods are inherited, not compiled per class."""

import dataclasses
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
class Frozen:
    """Base of keyword-only, frozen dataclasses: `class Run(Frozen)`, then its fields.

    Subclasses are dataclasses (`dataclasses.fields` and `dataclasses.replace` work on them) and
    behave like `@dataclass(frozen=True, kw_only=True)`.

    Notes
    -----
    The decorator compiles six methods per class, in which all classes are alike. With forty classes
    that was half of what importing our own modules took at a cold start (`make bench`).
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)

    def __init__(self, **values: Any) -> None:
        for field in dataclasses.fields(self):
            if field.name in values:
                value = values.pop(field.name)
            elif field.default is not dataclasses.MISSING:
                value = field.default
            elif field.default_factory is not dataclasses.MISSING:
                value = field.default_factory()
            else:
                raise TypeError(f"{type(self).__name__}: {field.name} is missing")
            self.__dict__[field.name] = value
        if values:
            raise TypeError(f"{type(self).__name__}: has no {', '.join(sorted(values))}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, f.name) for f in dataclasses.fields(self)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self))
        return f"{type(self).__qualname__}({shown})"

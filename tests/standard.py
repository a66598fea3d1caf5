"""The SDK's standard tests of taps, as they are meant.

Its tests of attributes share one instance, which keeps the values of the first attribute that it has seen for
all others (singer-sdk 0.54.9, `AttributeTestTemplate.non_null_attribute_values`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.testing import get_tap_test_class
from singer_sdk.testing.templates import AttributeTestTemplate

if TYPE_CHECKING:
    from singer_sdk import Tap


def _non_null_attribute_values(test: AttributeTestTemplate) -> list[Any]:
    assert test.stream_records, f"{test.stream.name} has no records"
    values = (record.get(test.attribute_name) for record in test.stream_records)
    return [value for value in values if value is not None]


def standard_tests(tap: type[Tap], **options: Any) -> type[object]:
    """The class with the standard tests; options are those of ``get_tap_test_class``."""
    AttributeTestTemplate.non_null_attribute_values = property(_non_null_attribute_values)
    found: type[object] = get_tap_test_class(tap, **options)
    return found

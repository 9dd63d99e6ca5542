"""Every backend agrees with the reference on calls drawn by hypothesis."""

import pytest

from suites import SUITES


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.usefixtures("needs_kernel")
def test_every_call_is_what_the_reference_says(name: str):
    SUITES[name].run()
